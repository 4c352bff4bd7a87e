SET LOCAL sigpersist.tenant = '0';
ALTER TABLE audit_events RENAME TO audit_events_before;
ALTER TABLE audit_events_before RENAME CONSTRAINT audit_events_pkey TO audit_events_before_pkey;
ALTER INDEX audit_events_tenant_idx RENAME TO audit_events_before_tenant_idx;

CREATE TABLE audit_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id integer REFERENCES tenants (id) ON DELETE SET NULL,
    at timestamptz NOT NULL DEFAULT now(),
    actor_kind text NOT NULL,
    actor text,
    request_id text,
    action text NOT NULL,
    target text NOT NULL,
    details jsonb NOT NULL
);
CREATE INDEX audit_events_tenant_idx ON audit_events (tenant_id, id);
COMMENT ON TABLE audit_events IS 'Who changed what about plugins and hooks; rows are only ever added';
COMMENT ON COLUMN audit_events.id IS 'Grows with time';
COMMENT ON COLUMN audit_events.tenant_id IS 'The tenant that was acted for; null for the platform itself, and where the tenant is gone';
COMMENT ON COLUMN audit_events.at IS 'When it happened';
COMMENT ON COLUMN audit_events.actor_kind IS 'What vouches for the actor: a token of a tenant or of the platform, the command line, or the server itself';
COMMENT ON COLUMN audit_events.actor IS 'The sub claim of the caller''s token, or command line; null for the server itself';
COMMENT ON COLUMN audit_events.request_id IS 'The request that did it, as the log has it';
COMMENT ON COLUMN audit_events.action IS 'What was done: hook.set, plugin.upload';
COMMENT ON COLUMN audit_events.target IS 'To what: the name of the hook or plugin';
COMMENT ON COLUMN audit_events.details IS 'What it became; never a secret';
ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON audit_events USING (tenant_id = current_tenant());
CREATE POLICY platform ON audit_events USING (current_tenant() = 0);
GRANT SELECT, INSERT ON audit_events TO sigpersist_server;

INSERT INTO audit_events (tenant_id, at, actor_kind, actor, request_id, action, target, details)
SELECT t.id, e.at, e.actor_kind, e.actor, e.request_id, e.action, e.target,
       jsonb_build_object('before', e.before, 'after', e.after)
FROM audit_events_before e LEFT JOIN tenants t ON t.id = e.tenant_id
ORDER BY e.at, e.tenant_id, e.number;
DROP FUNCTION audit_hash(audit_events_before);
DROP TABLE audit_events_before;
DROP TABLE audit_heads;
DROP FUNCTION chain_audit_event();
DROP FUNCTION netstring(text);
