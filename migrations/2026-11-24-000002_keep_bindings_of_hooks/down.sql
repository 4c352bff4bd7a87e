ALTER TABLE hooks
    DROP CONSTRAINT hooks_quarantine_check,
    DROP CONSTRAINT hooks_shadow_fkey,
    DROP CONSTRAINT hooks_binding_fkey,
    ADD COLUMN position integer,
    ADD COLUMN mode text,
    ADD COLUMN on_failure text,
    ADD COLUMN timeout_ms integer,
    ADD COLUMN settings jsonb,
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
UPDATE hooks h
SET position = b.position, mode = b.mode, on_failure = b.on_failure, timeout_ms = b.timeout_ms, settings = b.settings,
    updated_at = b.set_at
FROM hook_bindings b
WHERE b.tenant_id = h.tenant_id AND b.hook = h.name AND b.number = h.binding;
ALTER TABLE hooks
    DROP COLUMN binding,
    DROP COLUMN shadow_sha256,
    DROP COLUMN quarantined_at,
    DROP COLUMN quarantine_reason,
    ALTER COLUMN position SET NOT NULL,
    ALTER COLUMN mode SET NOT NULL,
    ALTER COLUMN on_failure SET NOT NULL,
    ALTER COLUMN timeout_ms SET NOT NULL,
    ALTER COLUMN settings SET NOT NULL,
    ADD CONSTRAINT hooks_mode_check CHECK (mode IN ('enforce', 'monitor')),
    ADD CONSTRAINT hooks_on_failure_check CHECK (on_failure IN ('reject', 'allow')),
    ADD CONSTRAINT hooks_timeout_ms_check CHECK (timeout_ms > 0);
COMMENT ON TABLE hooks IS 'Bindings of plugin revisions to tenants: what judges each save and delete';
COMMENT ON COLUMN hooks.plugin_id IS 'The plugin';
COMMENT ON COLUMN hooks.sha256 IS 'The revision of the plugin that runs';
COMMENT ON COLUMN hooks.position IS 'Hooks run from the lowest to the highest, ties by name';
COMMENT ON COLUMN hooks.mode IS 'enforce, or monitor: run, but change and reject nothing';
COMMENT ON COLUMN hooks.on_failure IS 'What a trap, a missed deadline or a broken limit means: reject, or allow';
COMMENT ON COLUMN hooks.timeout_ms IS 'Wall-clock limit of one call, in milliseconds';
COMMENT ON COLUMN hooks.settings IS 'The JSON that the hook reads as its configuration';
COMMENT ON COLUMN hooks.updated_at IS 'When the hook was last set';
DROP TABLE hook_bindings;
ALTER TABLE plugin_revisions DROP COLUMN uploaded_by, DROP COLUMN cases;
