-- Each tenant says which pages in browsers may use the API with its tokens. Servers of the release before write no such column,
-- and keep to `http.cors_origins`.
ALTER TABLE policies ADD COLUMN cors_origins text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN policies.cors_origins IS 'Origins whose pages may use the API with tokens of the tenant, beside those of the server''s settings';

-- A preflight has no token, so the server looks for its origin among those of all tenants.
CREATE POLICY platform ON policies FOR SELECT USING (current_tenant() = 0);
