CREATE TABLE platform_keys (
    kid text PRIMARY KEY,
    algorithm text NOT NULL,
    encrypted_secret bytea,
    public_key text,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    CONSTRAINT platform_keys_algorithm_check
        CHECK (algorithm IN ('HS256', 'HS384', 'HS512', 'RS256', 'PS256', 'ES256', 'ES384', 'EdDSA')),
    CONSTRAINT platform_keys_material_check
        CHECK (CASE WHEN algorithm LIKE 'HS%' THEN encrypted_secret IS NOT NULL AND public_key IS NULL
                    ELSE encrypted_secret IS NULL AND public_key IS NOT NULL END)
);
COMMENT ON TABLE platform_keys IS 'Keys that verify the tokens of the platform''s operators, who act for any tenant';
COMMENT ON COLUMN platform_keys.kid IS 'The kid of a token''s header (RFC 7515 section 4.1.4); no tenant''s key has the same';
COMMENT ON COLUMN platform_keys.algorithm IS 'The one algorithm that the key may be used with (RFC 8725 section 3.1)';
COMMENT ON COLUMN platform_keys.encrypted_secret IS 'HMAC secret: one byte of format version, 12 of nonce, then AES-256-GCM ciphertext under the master key, bound to kid and algorithm';
COMMENT ON COLUMN platform_keys.public_key IS 'Public key as a PEM SubjectPublicKeyInfo';
COMMENT ON COLUMN platform_keys.created_at IS 'When the key was added';
COMMENT ON COLUMN platform_keys.revoked_at IS 'Since when the key verifies nothing; null while it is active';

-- Notifications call the platform tenant 0, which is no tenant's id.
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
