-- The table has at most one row per tenant, so its constraints are checked quickly. An older server fails if it reads a
-- word that it does not know: it then saves nothing for that tenant, which is better than saving what the policy
-- refuses.
ALTER TABLE policies
    ADD COLUMN detached text NOT NULL DEFAULT 'accept',
    ADD COLUMN revocation text NOT NULL DEFAULT 'if_present',
    ADD CONSTRAINT policies_detached_check CHECK (detached IN ('accept', 'refuse', 'needs_content')),
    ADD CONSTRAINT policies_revocation_check CHECK (revocation IN ('if_present', 'required')),
    DROP CONSTRAINT policies_accept_check,
    ADD CONSTRAINT policies_accept_check CHECK (accept IN ('any', 'cms', 'xml', 'readable', 'intact', 'passed'));
COMMENT ON COLUMN policies.accept IS 'What is saved: any text, only a CMS or XML signature that can be read, either of them (readable), or either of them where all signers are intact, or have passed';
COMMENT ON COLUMN policies.detached IS 'What is done with a signature whose content is elsewhere: accept it by what is there, refuse it, or ask for its content';
COMMENT ON COLUMN policies.revocation IS 'How much must be known of whether certificates were revoked: only what is embedded, or something must tell of each';
