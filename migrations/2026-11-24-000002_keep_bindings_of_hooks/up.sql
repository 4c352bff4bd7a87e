ALTER TABLE plugin_revisions
    ADD COLUMN uploaded_by text,
    ADD COLUMN cases jsonb NOT NULL DEFAULT '[]';
COMMENT ON COLUMN plugin_revisions.uploaded_by IS 'Who uploaded it last: the sub claim of the caller''s token, or command line';
COMMENT ON COLUMN plugin_revisions.cases IS 'Test cases that came with the revision, and that it passed';

-- The settings of hooks, one row for each change. Rollback returns to a row, and decisions refer to one.
CREATE TABLE hook_bindings (
    tenant_id integer NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    hook text NOT NULL,
    number integer NOT NULL,
    plugin text NOT NULL,
    plugin_id integer NOT NULL,
    sha256 bytea NOT NULL,
    position integer NOT NULL,
    operations text[] NOT NULL,
    mode text NOT NULL,
    on_failure text NOT NULL,
    timeout_ms integer NOT NULL,
    memory_bytes bigint NOT NULL,
    fuel bigint NOT NULL,
    settings jsonb NOT NULL,
    enabled boolean NOT NULL,
    shadow_sha256 bytea,
    shadow_settings jsonb,
    set_by text,
    set_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, hook, number),
    CONSTRAINT hook_bindings_hook_check CHECK (hook ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    CONSTRAINT hook_bindings_number_check CHECK (number >= 1),
    CONSTRAINT hook_bindings_operations_check
        CHECK (cardinality(operations) > 0 AND operations <@ ARRAY ['save', 'delete']),
    CONSTRAINT hook_bindings_mode_check CHECK (mode IN ('enforce', 'monitor')),
    CONSTRAINT hook_bindings_on_failure_check CHECK (on_failure IN ('reject', 'allow')),
    CONSTRAINT hook_bindings_limits_check CHECK (timeout_ms > 0 AND memory_bytes > 0 AND fuel > 0),
    CONSTRAINT hook_bindings_shadow_check CHECK ((shadow_sha256 IS NULL) = (shadow_settings IS NULL))
);
COMMENT ON TABLE hook_bindings IS 'All that hooks were ever set to; rows are only ever added, and outlive the hook';
COMMENT ON COLUMN hook_bindings.tenant_id IS 'The tenant whose saves and deletes the hook judges';
COMMENT ON COLUMN hook_bindings.hook IS 'The hook''s name';
COMMENT ON COLUMN hook_bindings.number IS 'Counts the changes of a hook, from 1';
COMMENT ON COLUMN hook_bindings.plugin IS 'The plugin''s name';
COMMENT ON COLUMN hook_bindings.plugin_id IS 'The plugin, which may be gone by now';
COMMENT ON COLUMN hook_bindings.sha256 IS 'The revision of the plugin that runs';
COMMENT ON COLUMN hook_bindings.position IS 'Hooks run from the lowest to the highest, ties by name';
COMMENT ON COLUMN hook_bindings.operations IS 'What it judges: save, delete, or both';
COMMENT ON COLUMN hook_bindings.mode IS 'enforce, or monitor: run, but change and reject nothing';
COMMENT ON COLUMN hook_bindings.on_failure IS 'What a trap, a missed deadline or a broken limit means: reject, or allow';
COMMENT ON COLUMN hook_bindings.timeout_ms IS 'Wall-clock limit of one call, in milliseconds';
COMMENT ON COLUMN hook_bindings.memory_bytes IS 'Most linear memory of one call';
COMMENT ON COLUMN hook_bindings.fuel IS 'Fuel of one call';
COMMENT ON COLUMN hook_bindings.settings IS 'The JSON that the hook reads as its configuration';
COMMENT ON COLUMN hook_bindings.enabled IS 'Whether it runs at all';
COMMENT ON COLUMN hook_bindings.shadow_sha256 IS 'A revision of the same plugin that runs beside it on the same input, and decides nothing';
COMMENT ON COLUMN hook_bindings.shadow_settings IS 'What the shadow reads as its configuration';
COMMENT ON COLUMN hook_bindings.set_by IS 'Who set it: the sub claim of the caller''s token, or command line';
COMMENT ON COLUMN hook_bindings.set_at IS 'When it was set';

INSERT INTO hook_bindings (tenant_id, hook, number, plugin, plugin_id, sha256, position, operations, mode, on_failure,
                           timeout_ms, memory_bytes, fuel, settings, enabled, set_at)
SELECT h.tenant_id, h.name, 1, p.name, h.plugin_id, h.sha256, h.position, ARRAY ['save', 'delete'], h.mode, h.on_failure,
       h.timeout_ms, 33554432, 1000000000, h.settings, true, h.updated_at
FROM hooks h JOIN plugins p ON p.id = h.plugin_id;

ALTER TABLE hooks
    DROP COLUMN position,
    DROP COLUMN mode,
    DROP COLUMN on_failure,
    DROP COLUMN timeout_ms,
    DROP COLUMN settings,
    DROP COLUMN updated_at,
    ADD COLUMN binding integer NOT NULL DEFAULT 1,
    ADD COLUMN shadow_sha256 bytea,
    ADD COLUMN quarantined_at timestamptz,
    ADD COLUMN quarantine_reason text,
    ADD CONSTRAINT hooks_binding_fkey FOREIGN KEY (tenant_id, name, binding)
        REFERENCES hook_bindings (tenant_id, hook, number) ON DELETE CASCADE,
    ADD CONSTRAINT hooks_shadow_fkey FOREIGN KEY (plugin_id, shadow_sha256)
        REFERENCES plugin_revisions (plugin_id, sha256),
    ADD CONSTRAINT hooks_quarantine_check CHECK ((quarantined_at IS NULL) = (quarantine_reason IS NULL));
ALTER TABLE hooks ALTER COLUMN binding DROP DEFAULT;
COMMENT ON TABLE hooks IS 'What judges each save and delete of a tenant';
COMMENT ON COLUMN hooks.binding IS 'Which of its bindings is in force';
COMMENT ON COLUMN hooks.plugin_id IS 'The binding''s plugin, repeated so that it can''t be deleted meanwhile';
COMMENT ON COLUMN hooks.sha256 IS 'The binding''s revision, repeated for the same reason';
COMMENT ON COLUMN hooks.shadow_sha256 IS 'The binding''s shadow, repeated for the same reason';
COMMENT ON COLUMN hooks.quarantined_at IS 'Since when the hook is set aside because it kept failing; null while it is not';
COMMENT ON COLUMN hooks.quarantine_reason IS 'How it kept failing';
