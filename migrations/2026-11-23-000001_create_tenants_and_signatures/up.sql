-- The primary key of every tenant-owned table begins with tenant_id, so that the schema can be partitioned or
-- distributed by tenant later without a rewrite.
CREATE TABLE tenants (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug text NOT NULL,
    name text NOT NULL,
    suspended_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenants_slug_key UNIQUE (slug),
    CONSTRAINT tenants_slug_check CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')
);
COMMENT ON TABLE tenants IS 'Organisations that share the server without seeing one another';
COMMENT ON COLUMN tenants.id IS 'What tenant-owned rows carry; never shown to clients';
COMMENT ON COLUMN tenants.slug IS 'The tenant''s name in commands, tokens and URLs: a DNS label, never changed';
COMMENT ON COLUMN tenants.name IS 'The tenant''s name for people';
COMMENT ON COLUMN tenants.suspended_at IS 'Since when every request of the tenant is refused; null while it is active';
COMMENT ON COLUMN tenants.created_at IS 'When the tenant was created';

CREATE TABLE tenant_keys (
    tenant_id integer NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    kid text NOT NULL,
    algorithm text NOT NULL,
    encrypted_secret bytea,
    public_key text,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, kid),
    CONSTRAINT tenant_keys_kid_key UNIQUE (kid),
    CONSTRAINT tenant_keys_algorithm_check
        CHECK (algorithm IN ('HS256', 'HS384', 'HS512', 'RS256', 'PS256', 'ES256', 'ES384', 'EdDSA')),
    CONSTRAINT tenant_keys_material_check
        CHECK (CASE WHEN algorithm LIKE 'HS%' THEN encrypted_secret IS NOT NULL AND public_key IS NULL
                    ELSE encrypted_secret IS NULL AND public_key IS NOT NULL END)
);
COMMENT ON TABLE tenant_keys IS 'Keys that verify the tokens of a tenant''s callers';
COMMENT ON COLUMN tenant_keys.tenant_id IS 'The tenant whose callers the key vouches for';
COMMENT ON COLUMN tenant_keys.kid IS 'The kid of a token''s header (RFC 7515 section 4.1.4); unique on the server, so that it decides the tenant';
COMMENT ON COLUMN tenant_keys.algorithm IS 'The one algorithm that the key may be used with (RFC 8725 section 3.1)';
COMMENT ON COLUMN tenant_keys.encrypted_secret IS 'HMAC secret: one byte of format version, 12 of nonce, then AES-256-GCM ciphertext under the master key, bound to tenant, kid and algorithm';
COMMENT ON COLUMN tenant_keys.public_key IS 'Public key as a PEM SubjectPublicKeyInfo';
COMMENT ON COLUMN tenant_keys.created_at IS 'When the key was added';
COMMENT ON COLUMN tenant_keys.revoked_at IS 'Since when the key verifies nothing; null while it is active';

-- Each page has free space, so that saving a version, which changes no indexed column, stays on its page (HOT).
CREATE TABLE signatures (
    tenant_id integer NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    version integer NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    document text NOT NULL,
    thread text NOT NULL,
    stage text,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT signatures_thread_key UNIQUE (tenant_id, document, thread),
    CONSTRAINT signatures_version_check CHECK (version >= 1)
) WITH (fillfactor = 85);
CREATE INDEX signatures_newest_idx ON signatures (tenant_id, created_at DESC, id DESC);
CREATE INDEX signatures_document_idx ON signatures (tenant_id, document, created_at DESC, id DESC);
CREATE INDEX signatures_chain_idx ON signatures (tenant_id, thread, created_at DESC, id DESC);
CREATE INDEX signatures_stage_idx ON signatures (tenant_id, stage, created_at DESC, id DESC) WHERE stage IS NOT NULL;
COMMENT ON TABLE signatures IS 'Threads: one row for each document and thread of a tenant';
COMMENT ON COLUMN signatures.tenant_id IS 'The owner';
COMMENT ON COLUMN signatures.version IS 'The current version, and how many there are';
COMMENT ON COLUMN signatures.id IS 'Stable id of the thread';
COMMENT ON COLUMN signatures.created_at IS 'When version 1 was saved';
COMMENT ON COLUMN signatures.updated_at IS 'When the current version was saved';
COMMENT ON COLUMN signatures.document IS 'The document''s code, the tenant''s own word';
COMMENT ON COLUMN signatures.thread IS 'The story in which the document is signed, also called chain';
COMMENT ON COLUMN signatures.stage IS 'Stage of the current version, repeated here so that lists filter by it in order';

CREATE TABLE signature_versions (
    tenant_id integer NOT NULL,
    version integer NOT NULL,
    signature_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    encoding "char" NOT NULL,
    sha256 bytea NOT NULL,
    stage text,
    created_by text,
    comment text,
    tags text[] NOT NULL,
    signature bytea NOT NULL,
    PRIMARY KEY (tenant_id, signature_id, version),
    FOREIGN KEY (tenant_id, signature_id) REFERENCES signatures (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT signature_versions_encoding_check CHECK (encoding IN ('b', 't'))
);
COMMENT ON TABLE signature_versions IS 'Versions of threads, append-only: version N was signed over version N - 1';
COMMENT ON COLUMN signature_versions.tenant_id IS 'The owner';
COMMENT ON COLUMN signature_versions.version IS 'Place in the thread''s history: 1, 2, 3 without gaps';
COMMENT ON COLUMN signature_versions.signature_id IS 'The thread';
COMMENT ON COLUMN signature_versions.created_at IS 'When the version was saved';
COMMENT ON COLUMN signature_versions.encoding IS 'How the text that the client sent follows from the signature''s bytes: b, it is their padded base64 (RFC 4648 section 4); t, it is the bytes';
COMMENT ON COLUMN signature_versions.sha256 IS 'SHA-256 of the signature''s bytes';
COMMENT ON COLUMN signature_versions.stage IS 'The client''s label for this version';
COMMENT ON COLUMN signature_versions.created_by IS 'Who created this version, the client''s own word';
COMMENT ON COLUMN signature_versions.comment IS 'The client''s comment on this version';
COMMENT ON COLUMN signature_versions.tags IS 'Tags that the version was saved with, hooks'' included, in the order given; those of the current version are the thread''s';
COMMENT ON COLUMN signature_versions.signature IS 'The signature, stored once: decoded where its base64 round-trips exactly, as it came otherwise';

CREATE TABLE signature_tags (
    tenant_id integer NOT NULL,
    signature_id bigint NOT NULL,
    created_at timestamptz NOT NULL,
    tag text NOT NULL,
    PRIMARY KEY (tenant_id, signature_id, tag),
    FOREIGN KEY (tenant_id, signature_id) REFERENCES signatures (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX signature_tags_newest_idx ON signature_tags (tenant_id, tag, created_at DESC, signature_id DESC);
COMMENT ON TABLE signature_tags IS 'Index of the tags that threads have now: from a tag to its threads, newest first';
COMMENT ON COLUMN signature_tags.tenant_id IS 'The owner';
COMMENT ON COLUMN signature_tags.signature_id IS 'The thread';
COMMENT ON COLUMN signature_tags.created_at IS 'When version 1 was saved, repeated so that the index yields the order of lists';
COMMENT ON COLUMN signature_tags.tag IS 'One tag of the thread''s current version';

-- Servers cache keys and hook chains. They LISTEN on this channel for changes, and also poll the counter, since not
-- every pooler passes notifications on.
CREATE TABLE change_counter (
    id boolean PRIMARY KEY DEFAULT true,
    changes bigint NOT NULL DEFAULT 0,
    CONSTRAINT change_counter_id_check CHECK (id)
);
COMMENT ON TABLE change_counter IS 'One row: how often keys, tenants or hooks were changed';
COMMENT ON COLUMN change_counter.id IS 'Always true';
COMMENT ON COLUMN change_counter.changes IS 'Grows with each changed row, in the transaction that changed it';
INSERT INTO change_counter DEFAULT VALUES;

CREATE FUNCTION notify_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed jsonb := CASE WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
BEGIN
    UPDATE change_counter SET changes = changes + 1;
    PERFORM pg_notify('sigpersist_changes', TG_ARGV[0] || ':' || (changed ->> TG_ARGV[1]));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION notify_change() IS 'Tells every server what changed, as <what>:<tenant id> on the channel sigpersist_changes';

CREATE TRIGGER tenants_notify AFTER UPDATE OR DELETE ON tenants
    FOR EACH ROW EXECUTE FUNCTION notify_change('keys', 'id');
CREATE TRIGGER tenant_keys_notify AFTER INSERT OR UPDATE OR DELETE ON tenant_keys
    FOR EACH ROW EXECUTE FUNCTION notify_change('keys', 'tenant_id');
