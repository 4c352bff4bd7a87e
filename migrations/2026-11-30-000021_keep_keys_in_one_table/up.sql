-- The keys of tenants and of the platform move into one table. Servers of the release before read and write them under
-- the old names, which are views from now on: their statements and what they mean stay the same. The views go one
-- release later.
LOCK TABLE tenant_keys, platform_keys IN ACCESS EXCLUSIVE MODE;
-- Row-level security shows the rows of all owners to the platform only.
SET LOCAL sigpersist.tenant = '0';

-- Without a tenant, a key is the platform's: 0 in notifications.
CREATE OR REPLACE FUNCTION notify_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed jsonb := CASE WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
BEGIN
    UPDATE change_counter SET changes = changes + 1;
    PERFORM pg_notify('sigpersist_changes', TG_ARGV[0] || ':' || coalesce(changed ->> TG_ARGV[1], '0'));
    RETURN NULL;
END
$$;

ALTER TABLE tenant_keys RENAME TO keys;
ALTER TABLE keys RENAME CONSTRAINT tenant_keys_tenant_id_fkey TO keys_tenant_id_fkey;
ALTER TABLE keys RENAME CONSTRAINT tenant_keys_algorithm_check TO keys_algorithm_check;
ALTER TABLE keys RENAME CONSTRAINT tenant_keys_material_check TO keys_material_check;
ALTER TABLE keys RENAME CONSTRAINT tenant_keys_time_check TO keys_time_check;
ALTER TRIGGER tenant_keys_notify ON keys RENAME TO keys_notify;
ALTER TABLE keys
    DROP CONSTRAINT tenant_keys_pkey,
    DROP CONSTRAINT tenant_keys_kid_key,
    ADD CONSTRAINT keys_pkey PRIMARY KEY (kid),
    ALTER COLUMN tenant_id DROP NOT NULL;
CREATE INDEX keys_owner_idx ON keys (coalesce(tenant_id, 0), created_at DESC, kid DESC);
COMMENT ON TABLE keys IS 'Keys that verify tokens';
COMMENT ON COLUMN keys.tenant_id IS 'The tenant whose callers the key vouches for; null for the platform, whose operators act for any tenant';
COMMENT ON COLUMN keys.kid IS 'The kid of a token''s header (RFC 7515 section 4.1.4); unique on the server, so that it decides the owner';

INSERT INTO keys (kid, algorithm, encrypted_secret, public_key, created_at, not_before, expires_at, revoked_at)
SELECT kid, algorithm, encrypted_secret, public_key, created_at, not_before, expires_at, revoked_at FROM platform_keys;
DROP TABLE platform_keys;
DROP FUNCTION notify_platform_change();

-- Postgres reads the table with the rights of the views' owner. If that is a superuser, row-level security does not bind
-- it, so the views have the condition themselves. An older server deletes keys of a removed tenant by ctid.
CREATE VIEW tenant_keys WITH (security_barrier) AS
SELECT ctid, tenant_id, kid, algorithm, encrypted_secret, public_key, created_at, revoked_at, not_before, expires_at
FROM keys WHERE tenant_id IS NOT NULL AND current_tenant() IN (0, tenant_id) WITH CHECK OPTION;
COMMENT ON VIEW tenant_keys IS 'Keys of tenants, for servers of the release before';
CREATE VIEW platform_keys WITH (security_barrier) AS
SELECT kid, algorithm, encrypted_secret, public_key, created_at, revoked_at, not_before, expires_at
FROM keys WHERE tenant_id IS NULL AND current_tenant() = 0 WITH CHECK OPTION;
COMMENT ON VIEW platform_keys IS 'Keys of the platform, for servers of the release before';
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_keys, platform_keys TO sigpersist_server;
