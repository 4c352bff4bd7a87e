DROP FUNCTION signature_create_2;
DROP FUNCTION signature_save_2;
DROP TABLE log_keys;
DROP TABLE log_epochs;
DROP TABLE log_nodes;
DROP TABLE log_entries;
DROP TABLE log_queue;
ALTER TABLE signature_versions DROP COLUMN salt;
