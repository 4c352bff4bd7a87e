CREATE TABLE plugins (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id integer REFERENCES tenants (id) ON DELETE CASCADE,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT plugins_name_check CHECK (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')
);
-- An index on an expression, since Postgres 14 has no UNIQUE NULLS NOT DISTINCT. Identities start at 1, so 0 is free.
CREATE UNIQUE INDEX plugins_name_key ON plugins (coalesce(tenant_id, 0), name);
COMMENT ON TABLE plugins IS 'Names under which operators upload WebAssembly components';
COMMENT ON COLUMN plugins.id IS 'What revisions and hooks refer to';
COMMENT ON COLUMN plugins.tenant_id IS 'The tenant that alone may bind the plugin; null for the platform''s, which any tenant may';
COMMENT ON COLUMN plugins.name IS 'The plugin''s name, unique within its owner';
COMMENT ON COLUMN plugins.created_at IS 'When the first revision was uploaded';

CREATE TABLE plugin_revisions (
    plugin_id integer NOT NULL REFERENCES plugins (id) ON DELETE CASCADE,
    sha256 bytea NOT NULL,
    component bytea NOT NULL,
    exports text[] NOT NULL,
    imports text[] NOT NULL,
    description text NOT NULL,
    uploaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (plugin_id, sha256),
    CONSTRAINT plugin_revisions_sha256_check CHECK (sha256 = sha256(component))
);
ALTER TABLE plugin_revisions ALTER COLUMN component SET STORAGE EXTERNAL;
COMMENT ON TABLE plugin_revisions IS 'Immutable revisions of plugins, known by the digest of their bytes';
COMMENT ON COLUMN plugin_revisions.plugin_id IS 'The plugin';
COMMENT ON COLUMN plugin_revisions.sha256 IS 'SHA-256 of the component';
COMMENT ON COLUMN plugin_revisions.component IS 'The component as it was uploaded';
COMMENT ON COLUMN plugin_revisions.exports IS 'The contract''s interfaces that the component exports';
COMMENT ON COLUMN plugin_revisions.imports IS 'The contract''s interfaces that the component imports';
COMMENT ON COLUMN plugin_revisions.description IS 'What the component said of itself at upload';
COMMENT ON COLUMN plugin_revisions.uploaded_at IS 'The last time these bytes were uploaded under the plugin''s name; the greatest marks the newest revision';

CREATE TABLE hooks (
    tenant_id integer NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name text NOT NULL,
    plugin_id integer NOT NULL,
    sha256 bytea NOT NULL,
    position integer NOT NULL,
    mode text NOT NULL,
    on_failure text NOT NULL,
    timeout_ms integer NOT NULL,
    settings jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, name),
    FOREIGN KEY (plugin_id, sha256) REFERENCES plugin_revisions (plugin_id, sha256),
    CONSTRAINT hooks_name_check CHECK (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    CONSTRAINT hooks_mode_check CHECK (mode IN ('enforce', 'monitor')),
    CONSTRAINT hooks_on_failure_check CHECK (on_failure IN ('reject', 'allow')),
    CONSTRAINT hooks_timeout_ms_check CHECK (timeout_ms > 0)
);
CREATE INDEX hooks_plugin_idx ON hooks (plugin_id, sha256);
COMMENT ON TABLE hooks IS 'Bindings of plugin revisions to tenants: what judges each save and delete';
COMMENT ON COLUMN hooks.tenant_id IS 'The tenant whose saves and deletes the hook judges';
COMMENT ON COLUMN hooks.name IS 'The hook''s name, unique within the tenant';
COMMENT ON COLUMN hooks.plugin_id IS 'The plugin';
COMMENT ON COLUMN hooks.sha256 IS 'The revision of the plugin that runs';
COMMENT ON COLUMN hooks.position IS 'Hooks run from the lowest to the highest, ties by name';
COMMENT ON COLUMN hooks.mode IS 'enforce, or monitor: run, but change and reject nothing';
COMMENT ON COLUMN hooks.on_failure IS 'What a trap, a missed deadline or a broken limit means: reject, or allow';
COMMENT ON COLUMN hooks.timeout_ms IS 'Wall-clock limit of one call, in milliseconds';
COMMENT ON COLUMN hooks.settings IS 'The JSON that the hook reads as its configuration';
COMMENT ON COLUMN hooks.created_at IS 'When the hook was first set';
COMMENT ON COLUMN hooks.updated_at IS 'When the hook was last set';

CREATE TRIGGER hooks_notify AFTER INSERT OR UPDATE OR DELETE ON hooks
    FOR EACH ROW EXECUTE FUNCTION notify_change('hooks', 'tenant_id');
