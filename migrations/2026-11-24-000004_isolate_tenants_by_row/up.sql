-- Row-level security, forced, so that it binds the owner of the tables too: a query without its WHERE finds nothing of
-- another tenant. The server works under the role sigpersist_server, which owns nothing and can't bypass row-level
-- security. The setting sigpersist.tenant says for whom it works: a tenant's id, or 0 for the platform. Without the
-- setting, a session sees nothing.
CREATE FUNCTION current_tenant() RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('sigpersist.tenant', true), '')::integer;
COMMENT ON FUNCTION current_tenant() IS 'The tenant that the session acts for, 0 for the platform, null for nobody: the setting sigpersist.tenant';

GRANT SELECT, INSERT, UPDATE, DELETE ON tenants, tenant_keys, platform_keys, signatures, signature_tags, plugins,
    plugin_revisions, hooks, hook_inputs TO sigpersist_server;
-- Append-only tables. Their rows are deleted when they are old, or with their thread or tenant.
GRANT SELECT, INSERT, DELETE ON signature_versions, hook_judgements TO sigpersist_server;
GRANT SELECT, INSERT ON hook_bindings, audit_events TO sigpersist_server;
GRANT SELECT, UPDATE ON change_counter TO sigpersist_server;

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON tenants USING (id = current_tenant());
CREATE POLICY platform ON tenants USING (current_tenant() = 0);

-- The platform may find keys, since a key is looked up before its tenant is known.
ALTER TABLE tenant_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON tenant_keys USING (tenant_id = current_tenant());
CREATE POLICY platform ON tenant_keys USING (current_tenant() = 0);

ALTER TABLE platform_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY platform ON platform_keys USING (current_tenant() = 0);

ALTER TABLE signatures ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON signatures USING (tenant_id = current_tenant());

ALTER TABLE signature_versions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON signature_versions USING (tenant_id = current_tenant());

ALTER TABLE signature_tags ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON signature_tags USING (tenant_id = current_tenant());

-- A tenant may also read and bind the platform's plugins. The platform may see the hooks that run a plugin before it
-- deletes the plugin.
ALTER TABLE plugins ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON plugins USING (coalesce(tenant_id, 0) = current_tenant());
CREATE POLICY shared ON plugins FOR SELECT USING (tenant_id IS NULL OR current_tenant() = 0);

ALTER TABLE plugin_revisions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON plugin_revisions
    USING (EXISTS (SELECT FROM plugins p WHERE p.id = plugin_id AND coalesce(p.tenant_id, 0) = current_tenant()));
CREATE POLICY shared ON plugin_revisions FOR SELECT USING (EXISTS (SELECT FROM plugins p WHERE p.id = plugin_id));

ALTER TABLE hooks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON hooks USING (tenant_id = current_tenant());
CREATE POLICY platform ON hooks FOR SELECT USING (current_tenant() = 0);

ALTER TABLE hook_bindings ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON hook_bindings USING (tenant_id = current_tenant());

ALTER TABLE hook_judgements ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON hook_judgements USING (tenant_id = current_tenant());

ALTER TABLE hook_inputs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON hook_inputs USING (tenant_id = current_tenant());

ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON audit_events USING (tenant_id = current_tenant());
CREATE POLICY platform ON audit_events USING (current_tenant() = 0);
