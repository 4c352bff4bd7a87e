-- Tenants' and platform keys get the same columns.
DO $$
DECLARE
    keys text;
BEGIN
    FOREACH keys IN ARRAY ARRAY['tenant_keys', 'platform_keys'] LOOP
        EXECUTE format('ALTER TABLE %I
            ADD COLUMN not_before timestamptz,
            ADD COLUMN expires_at timestamptz,
            ADD CONSTRAINT %I CHECK (expires_at > not_before),
            DROP CONSTRAINT %I,
            ADD CONSTRAINT %I
                CHECK (CASE WHEN algorithm LIKE ''HS%%'' THEN encrypted_secret IS NOT NULL AND public_key IS NULL
                            ELSE public_key IS NOT NULL END)',
            keys, keys || '_time_check', keys || '_material_check', keys || '_material_check');
        EXECUTE format('COMMENT ON COLUMN %I.encrypted_secret IS ''Shared secret, or private key (PKCS #8) that the server signs with, encrypted with AES-256-GCM under the master key''', keys);
        EXECUTE format('COMMENT ON COLUMN %I.not_before IS ''From when on the key verifies; null for at once''', keys);
        EXECUTE format('COMMENT ON COLUMN %I.expires_at IS ''Until when the key verifies; null for as long as it is not revoked''', keys);
    END LOOP;
END
$$;

-- The current master key, once there was a rotation. Servers read it when they add a secret, so that no secret is
-- encrypted under a key that is being replaced, even if a server has an old copy of the key file.
CREATE TABLE master_key (
    id boolean PRIMARY KEY DEFAULT true,
    current bytea NOT NULL,
    CONSTRAINT master_key_id_check CHECK (id)
);
COMMENT ON TABLE master_key IS 'The master key that encrypts; no row until it was rotated';
COMMENT ON COLUMN master_key.id IS 'Always true: there is one row';
COMMENT ON COLUMN master_key.current IS 'The name of the key, which tells nothing of it';
GRANT SELECT, INSERT, UPDATE ON master_key TO sigpersist_server;
ALTER TABLE master_key ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY platform ON master_key USING (current_tenant() = 0);

-- The history of hooks is append-only, but is deleted in batches with its tenant.
GRANT DELETE ON hook_bindings TO sigpersist_server;
