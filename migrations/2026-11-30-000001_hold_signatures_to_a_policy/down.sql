-- The older schema has no stricter policy than readable.
UPDATE policies SET accept = 'readable' WHERE accept IN ('intact', 'passed');
ALTER TABLE policies
    DROP CONSTRAINT policies_accept_check,
    ADD CONSTRAINT policies_accept_check CHECK (accept IN ('any', 'cms', 'xml', 'readable')),
    DROP COLUMN revocation,
    DROP COLUMN detached;
COMMENT ON COLUMN policies.accept IS 'What is saved: any text, only a CMS or XML signature that can be read, or either of them (readable)';
