CREATE TABLE policies (
    tenant_id integer PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    accept text NOT NULL,
    record_verdicts boolean NOT NULL,
    CONSTRAINT policies_accept_check CHECK (accept IN ('any', 'cms', 'xml', 'readable'))
);
COMMENT ON TABLE policies IS 'What tenants accept as signatures, and whether it is recorded how they were judged; no row while nothing is set';
COMMENT ON COLUMN policies.tenant_id IS 'The tenant';
COMMENT ON COLUMN policies.accept IS 'What is saved: any text, only a CMS or XML signature that can be read, or either of them (readable)';
COMMENT ON COLUMN policies.record_verdicts IS 'Whether a verdict is recorded with each version that is saved';

CREATE TABLE trust_anchors (
    tenant_id integer NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    sha256 bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    certificate bytea NOT NULL,
    PRIMARY KEY (tenant_id, sha256)
);
COMMENT ON TABLE trust_anchors IS 'Certificates that tenants trust: signatures whose chains end with one are judged further';
COMMENT ON COLUMN trust_anchors.tenant_id IS 'The tenant';
COMMENT ON COLUMN trust_anchors.sha256 IS 'SHA-256 of the certificate';
COMMENT ON COLUMN trust_anchors.created_at IS 'Since when it is trusted';
COMMENT ON COLUMN trust_anchors.certificate IS 'The certificate in DER (RFC 5280)';

CREATE TABLE signature_verdicts (
    tenant_id integer NOT NULL,
    version integer NOT NULL,
    signature_id bigint NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT now(),
    bytes integer NOT NULL,
    verdict jsonb NOT NULL,
    PRIMARY KEY (tenant_id, signature_id, version, id),
    FOREIGN KEY (tenant_id, signature_id, version)
        REFERENCES signature_versions (tenant_id, signature_id, version) ON DELETE CASCADE
);
COMMENT ON TABLE signature_verdicts IS 'What was found when versions were verified, append-only: what could be known then stays known';
COMMENT ON COLUMN signature_verdicts.tenant_id IS 'The owner';
COMMENT ON COLUMN signature_verdicts.version IS 'The version';
COMMENT ON COLUMN signature_verdicts.signature_id IS 'The thread';
COMMENT ON COLUMN signature_verdicts.id IS 'Grows with time';
COMMENT ON COLUMN signature_verdicts.at IS 'When it was verified';
COMMENT ON COLUMN signature_verdicts.bytes IS 'How much it counts against the tenant''s quota: the size of its text';
COMMENT ON COLUMN signature_verdicts.verdict IS 'Who signed, and the verdict on each, as the API shows it';

CREATE TRIGGER policies_notify AFTER INSERT OR UPDATE OR DELETE ON policies
    FOR EACH ROW EXECUTE FUNCTION notify_change('policy', 'tenant_id');
CREATE TRIGGER trust_anchors_notify AFTER INSERT OR UPDATE OR DELETE ON trust_anchors
    FOR EACH ROW EXECUTE FUNCTION notify_change('policy', 'tenant_id');

COMMENT ON COLUMN tenants.max_bytes IS 'Most bytes of signatures, as they are stored, and of verdicts on them. Of all quotas, null means the server''s default, and 0 no limit';
COMMENT ON COLUMN tenant_usage.bytes IS 'Bytes of signatures, as they are stored, and of verdicts on them';

GRANT SELECT, INSERT, UPDATE ON policies TO sigpersist_server;
GRANT SELECT, INSERT, DELETE ON trust_anchors, signature_verdicts TO sigpersist_server;
ALTER TABLE policies ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON policies USING (tenant_id = current_tenant());
ALTER TABLE trust_anchors ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON trust_anchors USING (tenant_id = current_tenant());
ALTER TABLE signature_verdicts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON signature_verdicts USING (tenant_id = current_tenant());
