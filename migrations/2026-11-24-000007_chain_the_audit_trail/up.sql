-- The audit trail outlives the tenants in it, so it has no foreign keys to them. Each event carries the hash of the
-- tenant's previous event, so that a row that is changed, missing or out of order is detected. Row-level security hides
-- the old rows unless the session acts for the platform.
SET LOCAL sigpersist.tenant = '0';
ALTER TABLE audit_events RENAME TO audit_events_before;
ALTER TABLE audit_events_before RENAME CONSTRAINT audit_events_pkey TO audit_events_before_pkey;
ALTER INDEX audit_events_tenant_idx RENAME TO audit_events_before_tenant_idx;

CREATE TABLE audit_events (
    tenant_id integer NOT NULL,
    number bigint NOT NULL,
    at timestamptz NOT NULL,
    tenant text,
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
    PRIMARY KEY (tenant_id, number),
    CONSTRAINT audit_events_tenant_check CHECK ((tenant_id = 0) = (tenant IS NULL))
);
CREATE INDEX audit_events_at_idx ON audit_events (at, hash);
CREATE INDEX audit_events_tenant_idx ON audit_events (tenant, at, hash);
COMMENT ON TABLE audit_events IS 'Who changed what; a chain of events for each tenant, which are only ever added, and outlive the tenant';
COMMENT ON COLUMN audit_events.tenant_id IS 'The tenant that was acted for, which may be gone by now; 0 for the platform itself';
COMMENT ON COLUMN audit_events.number IS 'The event''s place in the chain: 1, 2, 3 without gaps';
COMMENT ON COLUMN audit_events.at IS 'When it happened; later than the event before it';
COMMENT ON COLUMN audit_events.tenant IS 'The tenant''s slug as it was then; null for the platform itself';
COMMENT ON COLUMN audit_events.actor_kind IS 'What vouches for the actor: a token of a tenant or of the platform, the command line, or the server itself';
COMMENT ON COLUMN audit_events.actor IS 'The sub claim of the caller''s token, or command line; null for the server itself';
COMMENT ON COLUMN audit_events.actor_key IS 'The kid of the key that verified the caller''s token; null where there was none';
COMMENT ON COLUMN audit_events.request_id IS 'The request that did it, as the log has it';
COMMENT ON COLUMN audit_events.action IS 'What was done: hook.set, plugin.upload';
COMMENT ON COLUMN audit_events.target IS 'To what: its name';
COMMENT ON COLUMN audit_events.before IS 'What was set before, as it was written; null where that was nothing. Never a secret';
COMMENT ON COLUMN audit_events.after IS 'What is set since, as it was written; null where that is nothing. Never a secret';
COMMENT ON COLUMN audit_events.previous IS 'The hash of the event before it in the chain; 32 zero bytes for the first';
COMMENT ON COLUMN audit_events.hash IS 'SHA-256 over the hash of the event before it, then its own columns as netstrings';

CREATE TABLE audit_heads (
    tenant_id integer PRIMARY KEY,
    number bigint NOT NULL,
    at timestamptz NOT NULL,
    hash bytea NOT NULL
);
COMMENT ON TABLE audit_heads IS 'Where each chain of the audit trail ends, so that a missing end is found; its rows let one writer of a chain in at a time';
COMMENT ON COLUMN audit_heads.tenant_id IS 'The chain';
COMMENT ON COLUMN audit_heads.number IS 'The number of its last event';
COMMENT ON COLUMN audit_heads.at IS 'The time of its last event';
COMMENT ON COLUMN audit_heads.hash IS 'The hash of its last event';

-- Null has a spelling of its own, and no two different rows have the same text: https://cr.yp.to/proto/netstrings.txt.
CREATE FUNCTION netstring(text) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(convert_to(octet_length(convert_to($1, 'UTF8')) || ':' || $1 || ',', 'UTF8'), '-'::bytea);
COMMENT ON FUNCTION netstring(text) IS 'Length in bytes, a colon, the text as UTF-8, a comma; a hyphen for null';

CREATE FUNCTION audit_hash(event audit_events) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE
    RETURN sha256(event.previous
        || netstring(event.number::text)
        || netstring((extract(epoch FROM event.at) * 1000000)::bigint::text)
        || netstring(event.tenant_id::text)
        || netstring(event.tenant)
        || netstring(event.actor_kind)
        || netstring(event.actor)
        || netstring(event.actor_key)
        || netstring(event.request_id)
        || netstring(event.action)
        || netstring(event.target)
        || netstring(event.before::text)
        || netstring(event.after::text));
COMMENT ON FUNCTION audit_hash(audit_events) IS 'The hash of an event; sigpersist audit verify works it out by itself';

-- Runs as the owner of the tables, since the server may write neither heads nor the columns that are set here.
CREATE FUNCTION chain_audit_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head public.audit_heads;
BEGIN
    INSERT INTO public.audit_heads VALUES (NEW.tenant_id, 0, '-infinity', decode(repeat('00', 32), 'hex'))
    ON CONFLICT DO NOTHING;
    SELECT * INTO STRICT head FROM public.audit_heads WHERE tenant_id = NEW.tenant_id FOR UPDATE;
    NEW.number := head.number + 1;
    NEW.at := greatest(coalesce(NEW.at, clock_timestamp()), head.at + interval '1 microsecond');
    NEW.previous := head.hash;
    NEW.hash := public.audit_hash(NEW);
    UPDATE public.audit_heads SET number = NEW.number, at = NEW.at, hash = NEW.hash WHERE tenant_id = NEW.tenant_id;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION chain_audit_event() IS 'Gives an event its place at the end of its chain';
-- Otherwise somebody could attach it to a table of their own, and move a head without an event.
REVOKE EXECUTE ON FUNCTION chain_audit_event() FROM PUBLIC;
CREATE TRIGGER audit_events_chain BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION chain_audit_event();

ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON audit_events USING (tenant_id = current_tenant());
CREATE POLICY platform ON audit_events USING (current_tenant() = 0);
ALTER TABLE audit_heads ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON audit_heads USING (tenant_id = current_tenant());
CREATE POLICY platform ON audit_heads USING (current_tenant() = 0);
-- No UPDATE, no DELETE, and no INSERT into the columns that the trigger sets.
GRANT SELECT, INSERT (tenant_id, tenant, actor_kind, actor, actor_key, request_id, action, target, before, after)
    ON audit_events TO sigpersist_server;
GRANT SELECT ON audit_heads TO sigpersist_server;

INSERT INTO audit_events (tenant_id, at, tenant, actor_kind, actor, request_id, action, target, before, after)
SELECT coalesce(e.tenant_id, 0), e.at, t.slug, e.actor_kind, e.actor, e.request_id, e.action, e.target,
       nullif(e.details -> 'before', 'null')::json, nullif(e.details -> 'after', 'null')::json
FROM audit_events_before e LEFT JOIN tenants t ON t.id = e.tenant_id
ORDER BY e.id;
DROP TABLE audit_events_before;
