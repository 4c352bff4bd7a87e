DROP TABLE signature_tags;
DROP TABLE signature_versions;
DROP TABLE signatures;
DROP TABLE tenant_keys;
DROP TABLE tenants;
DROP FUNCTION notify_change();
DROP TABLE change_counter;
