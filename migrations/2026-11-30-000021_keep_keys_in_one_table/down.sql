LOCK TABLE keys IN ACCESS EXCLUSIVE MODE;
SET LOCAL sigpersist.tenant = '0';
DROP VIEW tenant_keys, platform_keys;

CREATE TABLE platform_keys (
    kid text PRIMARY KEY,
    algorithm text NOT NULL,
    encrypted_secret bytea,
    public_key text,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    not_before timestamptz,
    expires_at timestamptz,
    CONSTRAINT platform_keys_algorithm_check
        CHECK (algorithm IN ('HS256', 'HS384', 'HS512', 'RS256', 'PS256', 'ES256', 'ES384', 'EdDSA')),
    CONSTRAINT platform_keys_material_check
        CHECK (CASE WHEN algorithm LIKE 'HS%' THEN encrypted_secret IS NOT NULL AND public_key IS NULL
                    ELSE public_key IS NOT NULL END),
    CONSTRAINT platform_keys_time_check CHECK (expires_at > not_before)
);
COMMENT ON TABLE platform_keys IS 'Keys that verify the tokens of the platform''s operators, who act for any tenant';
COMMENT ON COLUMN platform_keys.kid IS 'The kid of a token''s header (RFC 7515 section 4.1.4); no tenant''s key has the same';
COMMENT ON COLUMN platform_keys.algorithm IS 'The one algorithm that the key may be used with (RFC 8725 section 3.1)';
COMMENT ON COLUMN platform_keys.encrypted_secret IS 'Shared secret, or private key (PKCS #8) that the server signs with, encrypted with AES-256-GCM under the master key';
COMMENT ON COLUMN platform_keys.public_key IS 'Public key as a PEM SubjectPublicKeyInfo';
COMMENT ON COLUMN platform_keys.created_at IS 'When the key was added';
COMMENT ON COLUMN platform_keys.revoked_at IS 'Since when the key verifies nothing; null while it is active';
COMMENT ON COLUMN platform_keys.not_before IS 'From when on the key verifies; null for at once';
COMMENT ON COLUMN platform_keys.expires_at IS 'Until when the key verifies; null for as long as it is not revoked';
GRANT SELECT, INSERT, UPDATE, DELETE ON platform_keys TO sigpersist_server;
ALTER TABLE platform_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY platform ON platform_keys USING (current_tenant() = 0);
INSERT INTO platform_keys (kid, algorithm, encrypted_secret, public_key, created_at, not_before, expires_at, revoked_at)
SELECT kid, algorithm, encrypted_secret, public_key, created_at, not_before, expires_at, revoked_at
FROM keys WHERE tenant_id IS NULL;
DELETE FROM keys WHERE tenant_id IS NULL;
CREATE FUNCTION notify_platform_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE change_counter SET changes = changes + 1;
    PERFORM pg_notify('sigpersist_changes', 'keys:0');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION notify_platform_change() IS 'Tells every server that keys of the platform changed';
CREATE TRIGGER platform_keys_notify AFTER INSERT OR UPDATE OR DELETE ON platform_keys
    FOR EACH ROW EXECUTE FUNCTION notify_platform_change();

DROP INDEX keys_owner_idx;
ALTER TABLE keys RENAME TO tenant_keys;
ALTER TABLE tenant_keys
    DROP CONSTRAINT keys_pkey,
    ADD CONSTRAINT tenant_keys_pkey PRIMARY KEY (tenant_id, kid),
    ADD CONSTRAINT tenant_keys_kid_key UNIQUE (kid);
ALTER TABLE tenant_keys RENAME CONSTRAINT keys_tenant_id_fkey TO tenant_keys_tenant_id_fkey;
ALTER TABLE tenant_keys RENAME CONSTRAINT keys_algorithm_check TO tenant_keys_algorithm_check;
ALTER TABLE tenant_keys RENAME CONSTRAINT keys_material_check TO tenant_keys_material_check;
ALTER TABLE tenant_keys RENAME CONSTRAINT keys_time_check TO tenant_keys_time_check;
ALTER TRIGGER keys_notify ON tenant_keys RENAME TO tenant_keys_notify;
COMMENT ON TABLE tenant_keys IS 'Keys that verify the tokens of a tenant''s callers';
COMMENT ON COLUMN tenant_keys.tenant_id IS 'The tenant whose callers the key vouches for';
COMMENT ON COLUMN tenant_keys.kid IS 'The kid of a token''s header (RFC 7515 section 4.1.4); unique on the server, so that it decides the tenant';

CREATE OR REPLACE FUNCTION notify_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed jsonb := CASE WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
BEGIN
    UPDATE change_counter SET changes = changes + 1;
    PERFORM pg_notify('sigpersist_changes', TG_ARGV[0] || ':' || (changed ->> TG_ARGV[1]));
    RETURN NULL;
END
$$;
