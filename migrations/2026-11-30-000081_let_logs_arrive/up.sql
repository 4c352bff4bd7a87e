-- The log of a tenant moves with it: its trees come as closed ones, under their own names and numbers, with the keys that
-- signed them, and another tree goes on after them. While they arrive, what happens to the tenant waits in the queue, since
-- its numbers come after theirs.
CREATE TABLE log_arrivals (
    tenant_id integer PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    file bytea,
    run bytea
);
COMMENT ON TABLE log_arrivals IS 'Tenants that an import made and whose logs are arriving: nothing of theirs is taken from the queue meanwhile, and their entries are in no tree yet';
COMMENT ON COLUMN log_arrivals.tenant_id IS 'The tenant';
COMMENT ON COLUMN log_arrivals.file IS 'SHA-256 of the first line of the file that the log comes from; null until the first entry comes';
COMMENT ON COLUMN log_arrivals.run IS 'Random bytes of the import that may write entries now; others must give up';

CREATE TABLE log_imported_keys (
    tenant_id integer NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    epoch smallint NOT NULL,
    created_at timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    public_key bytea NOT NULL,
    PRIMARY KEY (tenant_id, epoch, public_key)
);
COMMENT ON TABLE log_imported_keys IS 'Public keys of other servers, which signed the checkpoints of imported trees';
COMMENT ON COLUMN log_imported_keys.tenant_id IS 'Whose log it is';
COMMENT ON COLUMN log_imported_keys.epoch IS 'The imported tree';
COMMENT ON COLUMN log_imported_keys.created_at IS 'When the key was made';
COMMENT ON COLUMN log_imported_keys.not_after IS 'Until when it signed the tree';
COMMENT ON COLUMN log_imported_keys.public_key IS 'The public key (RFC 8032)';

GRANT SELECT, INSERT, UPDATE, DELETE ON log_arrivals TO sigpersist_server;
GRANT SELECT, INSERT ON log_imported_keys TO sigpersist_server;
ALTER TABLE log_arrivals ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON log_arrivals USING (tenant_id = current_tenant());
CREATE POLICY platform ON log_arrivals USING (current_tenant() = 0);
ALTER TABLE log_imported_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON log_imported_keys USING (tenant_id = current_tenant());
CREATE POLICY platform ON log_imported_keys FOR INSERT WITH CHECK (current_tenant() = 0);
