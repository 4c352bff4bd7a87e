DROP FUNCTION reserve_signature_ids(bigint);
ALTER TABLE tenants DROP COLUMN incomplete;
