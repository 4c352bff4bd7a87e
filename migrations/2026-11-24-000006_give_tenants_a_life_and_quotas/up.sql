ALTER TABLE tenants
    ADD COLUMN delete_after timestamptz,
    ADD COLUMN removing_since timestamptz,
    ADD COLUMN max_bytes bigint,
    ADD COLUMN max_threads bigint,
    ADD COLUMN max_signature_bytes bigint,
    ADD COLUMN requests_per_second bigint,
    ADD COLUMN request_burst bigint,
    ADD COLUMN max_concurrent_requests bigint,
    ADD COLUMN hook_ms_per_second bigint,
    ADD CONSTRAINT tenants_deletion_check
        CHECK ((delete_after IS NULL OR suspended_at IS NOT NULL) AND (removing_since IS NULL OR delete_after IS NOT NULL)),
    ADD CONSTRAINT tenants_quotas_check
        CHECK (least(max_bytes, max_threads, max_signature_bytes, requests_per_second, request_burst,
                     max_concurrent_requests, hook_ms_per_second) >= 0);
CREATE INDEX tenants_delete_after_idx ON tenants (delete_after) WHERE delete_after IS NOT NULL;
COMMENT ON COLUMN tenants.delete_after IS 'When all that is the tenant''s will be removed; null unless its deletion is scheduled';
COMMENT ON COLUMN tenants.removing_since IS 'When the removal began, which nothing takes back; null before that';
COMMENT ON COLUMN tenants.max_bytes IS 'Most bytes of signatures, as they are stored. Of all quotas, null means the server''s default, and 0 no limit';
COMMENT ON COLUMN tenants.max_threads IS 'Most threads';
COMMENT ON COLUMN tenants.max_signature_bytes IS 'Largest signature, in bytes of the text that the client sends';
COMMENT ON COLUMN tenants.requests_per_second IS 'Requests a second, on each server';
COMMENT ON COLUMN tenants.request_burst IS 'Requests that may come at once after a quiet time, on each server; 0 for as many as a second allows';
COMMENT ON COLUMN tenants.max_concurrent_requests IS 'Requests under way at once, on each server';
COMMENT ON COLUMN tenants.hook_ms_per_second IS 'Milliseconds that hooks may run each second, on each server';

-- Each connection usually has its own row here, so a save does not wait for the commit of another. Each page has free
-- space, so that updates stay on their page (HOT).
CREATE TABLE tenant_usage (
    tenant_id integer NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    bytes bigint NOT NULL,
    threads bigint NOT NULL,
    versions bigint NOT NULL,
    shard smallint NOT NULL,
    PRIMARY KEY (tenant_id, shard)
) WITH (fillfactor = 50);
COMMENT ON TABLE tenant_usage IS 'What a tenant has stored: the sum of its rows, each of which may be below zero';
COMMENT ON COLUMN tenant_usage.tenant_id IS 'The owner';
COMMENT ON COLUMN tenant_usage.bytes IS 'Bytes of signatures, as they are stored';
COMMENT ON COLUMN tenant_usage.threads IS 'Threads';
COMMENT ON COLUMN tenant_usage.versions IS 'Versions of threads';
COMMENT ON COLUMN tenant_usage.shard IS 'Which connections add here';

-- Existing signatures are counted tenant by tenant, since row-level security hides other rows even from the owner of
-- the tables.
LOCK TABLE signatures, signature_versions IN SHARE ROW EXCLUSIVE MODE;
DO $$
DECLARE
    tenants integer[];
    tenant integer;
BEGIN
    PERFORM set_config('sigpersist.tenant', '0', true);
    tenants := ARRAY(SELECT id FROM tenants);
    FOREACH tenant IN ARRAY tenants LOOP
        PERFORM set_config('sigpersist.tenant', tenant::text, true);
        INSERT INTO tenant_usage (tenant_id, bytes, threads, versions, shard)
        SELECT tenant_id, sum(octet_length(signature)), count(*) FILTER (WHERE version = 1), count(*), 0
        FROM signature_versions WHERE tenant_id = tenant GROUP BY tenant_id;
    END LOOP;
    PERFORM set_config('sigpersist.tenant', '', true);
END
$$;

GRANT SELECT, INSERT, UPDATE ON tenant_usage TO sigpersist_server;
ALTER TABLE tenant_usage ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON tenant_usage USING (tenant_id = current_tenant());
-- The platform sums up a tenant's usage before it removes the tenant.
CREATE POLICY platform ON tenant_usage USING (current_tenant() = 0);
