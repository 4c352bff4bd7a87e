-- Identity providers whose tokens authenticate the callers of a tenant. Several tenants may share a provider, so an issuer is no
-- key here: what a token claims besides decides whose it is, and servers see to it that it does.
CREATE TABLE issuers (
    tenant_id integer NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    issuer text NOT NULL,
    jwks_url text,
    jwks text,
    rules jsonb NOT NULL,
    refreshed_at timestamptz,
    PRIMARY KEY (tenant_id, name),
    CONSTRAINT issuers_keys_check CHECK (jwks_url IS NULL OR jwks IS NULL)
);
CREATE INDEX issuers_issuer_idx ON issuers (issuer);
COMMENT ON TABLE issuers IS 'Identity providers whose tokens authenticate the callers of a tenant';
COMMENT ON COLUMN issuers.tenant_id IS 'The tenant whose callers it vouches for';
COMMENT ON COLUMN issuers.name IS 'Its name, for people';
COMMENT ON COLUMN issuers.created_at IS 'When it was added';
COMMENT ON COLUMN issuers.issuer IS 'The iss of its tokens, character by character (RFC 7519 section 4.1.1)';
COMMENT ON COLUMN issuers.jwks_url IS 'Where its keys are; null if they are found by OpenID Connect Discovery, or were given';
COMMENT ON COLUMN issuers.jwks IS 'Its keys, if they were given: a JSON Web Key Set (RFC 7517)';
COMMENT ON COLUMN issuers.rules IS 'What its tokens must claim, and which scopes their claims stand for';
COMMENT ON COLUMN issuers.refreshed_at IS 'Servers fetch its keys again that they fetched before they knew of this time; null for none';

CREATE TRIGGER issuers_notify AFTER INSERT OR UPDATE OR DELETE ON issuers
    FOR EACH ROW EXECUTE FUNCTION notify_change('keys', 'tenant_id');

GRANT SELECT, INSERT, UPDATE (refreshed_at), DELETE ON issuers TO sigpersist_server;
ALTER TABLE issuers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON issuers USING (tenant_id = current_tenant());
-- Whose token it is, is found by its issuer.
CREATE POLICY platform ON issuers USING (current_tenant() = 0);
