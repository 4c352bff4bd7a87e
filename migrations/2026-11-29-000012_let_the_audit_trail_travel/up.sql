-- The audit trail moves with its tenant. The hash of an event includes the tenant's number on the server where it
-- happened, but audit_events has the numbers of this server. So events of other servers are kept unchanged in a table
-- of their own.
CREATE TABLE audit_imported (
    tenant_id integer NOT NULL,
    part integer NOT NULL,
    number bigint NOT NULL,
    at timestamptz NOT NULL,
    tenant text NOT NULL,
    source_id integer NOT NULL,
    source text NOT NULL,
    actor_kind text NOT NULL,
    actor text,
    actor_key text,
    request_id text,
    action text NOT NULL,
    target text NOT NULL,
    before json,
    after json,
    previous bytea NOT NULL,
    hash bytea NOT NULL,
    place bytea NOT NULL GENERATED ALWAYS AS (sha256(hash || int4send(tenant_id) || int4send(part) || int8send(number))) STORED,
    PRIMARY KEY (tenant_id, part, number),
    CONSTRAINT audit_imported_part_check CHECK (part >= 1)
);
CREATE INDEX audit_imported_at_idx ON audit_imported (at, place);
CREATE INDEX audit_imported_tenant_idx ON audit_imported (tenant, at, place);
COMMENT ON TABLE audit_imported IS 'Events of the audit trail from before a tenant was imported, as they were where they happened; they are only ever added, and outlive the tenant';
COMMENT ON COLUMN audit_imported.tenant_id IS 'The tenant that they were imported into, which may be gone by now';
COMMENT ON COLUMN audit_imported.part IS 'Counts the chains that were imported into the tenant, from 1; the events of its own chain that tell of imports say how far each goes';
COMMENT ON COLUMN audit_imported.number IS 'The event''s place in its chain';
COMMENT ON COLUMN audit_imported.at IS 'When it happened';
COMMENT ON COLUMN audit_imported.tenant IS 'The slug of the tenant that it was imported into';
COMMENT ON COLUMN audit_imported.source_id IS 'The number that the tenant had where it happened';
COMMENT ON COLUMN audit_imported.source IS 'The slug that the tenant had then and there';
COMMENT ON COLUMN audit_imported.actor_kind IS 'As of events that happened here';
COMMENT ON COLUMN audit_imported.actor IS 'As of events that happened here';
COMMENT ON COLUMN audit_imported.actor_key IS 'As of events that happened here';
COMMENT ON COLUMN audit_imported.request_id IS 'As of events that happened here';
COMMENT ON COLUMN audit_imported.action IS 'As of events that happened here';
COMMENT ON COLUMN audit_imported.target IS 'As of events that happened here';
COMMENT ON COLUMN audit_imported.before IS 'As of events that happened here: the very text, of which the hash is';
COMMENT ON COLUMN audit_imported.after IS 'As of events that happened here: the very text, of which the hash is';
COMMENT ON COLUMN audit_imported.previous IS 'The hash of the event before it in its chain';
COMMENT ON COLUMN audit_imported.hash IS 'The hash that it had where it happened';
COMMENT ON COLUMN audit_imported.place IS 'Settles ties of time in lists, where one event was imported twice';

ALTER TABLE audit_imported ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON audit_imported USING (tenant_id = current_tenant());
CREATE POLICY platform ON audit_imported USING (current_tenant() = 0);
-- The table is append-only: no UPDATE and no DELETE.
GRANT SELECT, INSERT ON audit_imported TO sigpersist_server;
