-- Both kinds of keys live the same life.
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
