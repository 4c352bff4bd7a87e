REVOKE DELETE ON hook_bindings FROM sigpersist_server;
DROP TABLE master_key;
-- Deletes keys with a private part on the server, which the older schema does not have.
DO $$
DECLARE
    keys text;
BEGIN
    PERFORM set_config('sigpersist.tenant', '0', true);
    FOREACH keys IN ARRAY ARRAY['tenant_keys', 'platform_keys'] LOOP
        EXECUTE format('DELETE FROM %I WHERE encrypted_secret IS NOT NULL AND public_key IS NOT NULL', keys);
        EXECUTE format('ALTER TABLE %I
            DROP COLUMN not_before,
            DROP COLUMN expires_at,
            DROP CONSTRAINT %I,
            ADD CONSTRAINT %I
                CHECK (CASE WHEN algorithm LIKE ''HS%%'' THEN encrypted_secret IS NOT NULL AND public_key IS NULL
                            ELSE encrypted_secret IS NULL AND public_key IS NOT NULL END)',
            keys, keys || '_material_check', keys || '_material_check');
    END LOOP;
    PERFORM set_config('sigpersist.tenant', '', true);
END
$$;
COMMENT ON COLUMN tenant_keys.encrypted_secret IS 'HMAC secret: one byte of format version, 12 of nonce, then AES-256-GCM ciphertext under the master key, bound to tenant, kid and algorithm';
COMMENT ON COLUMN platform_keys.encrypted_secret IS 'HMAC secret: one byte of format version, 12 of nonce, then AES-256-GCM ciphertext under the master key, bound to kid and algorithm';
