-- The owner of the tables can recompute every hash of the audit trail. So the server adds to each event a seal under a
-- key that the database never sees: an HMAC over the event's hash and its place. Events from before this migration, and
-- those of servers without a master key, have no seal.
CREATE TABLE audit_keys (
    number integer PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    encrypted_key bytea NOT NULL,
    CONSTRAINT audit_keys_number_check CHECK (number >= 1)
);
COMMENT ON TABLE audit_keys IS 'Keys that seal the audit trail; the last one seals';
COMMENT ON COLUMN audit_keys.number IS 'Counts the keys, from 1';
COMMENT ON COLUMN audit_keys.created_at IS 'When the key was made';
COMMENT ON COLUMN audit_keys.encrypted_key IS 'The key, encrypted with AES-256-GCM under the master key';

CREATE TABLE audit_seals (
    tenant_id integer NOT NULL,
    number bigint NOT NULL,
    key integer NOT NULL,
    baseline boolean NOT NULL,
    seal bytea NOT NULL,
    PRIMARY KEY (tenant_id, number, key)
);
COMMENT ON TABLE audit_seals IS 'Seals of events of the audit trail, which are only ever added';
COMMENT ON COLUMN audit_seals.tenant_id IS 'The event''s chain';
COMMENT ON COLUMN audit_seals.number IS 'The event''s place in its chain';
COMMENT ON COLUMN audit_seals.key IS 'The key that sealed it';
COMMENT ON COLUMN audit_seals.baseline IS 'Whether events before it may be without a seal: it was made for the chain as it was then';
COMMENT ON COLUMN audit_seals.seal IS 'HMAC-SHA256 over chain, number, baseline and the hash of the event';

-- Rows are never changed or deleted, except that a key may be encrypted again under another master key.
GRANT SELECT, INSERT, UPDATE (encrypted_key) ON audit_keys TO sigpersist_server;
GRANT SELECT, INSERT ON audit_seals TO sigpersist_server;
ALTER TABLE audit_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY platform ON audit_keys USING (current_tenant() = 0);
ALTER TABLE audit_seals ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON audit_seals USING (tenant_id = current_tenant());
CREATE POLICY platform ON audit_seals USING (current_tenant() = 0);
