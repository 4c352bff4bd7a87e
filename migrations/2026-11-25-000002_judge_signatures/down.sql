COMMENT ON COLUMN tenant_usage.bytes IS 'Bytes of signatures, as they are stored';
COMMENT ON COLUMN tenants.max_bytes IS 'Most bytes of signatures, as they are stored. Of all quotas, null means the server''s default, and 0 no limit';
DROP TABLE signature_verdicts;
DROP TABLE trust_anchors;
DROP TABLE policies;
