-- A server of the release before leaves them null.
ALTER TABLE plugin_revisions
    ADD COLUMN origin text,
    ADD COLUMN signature text,
    ADD COLUMN signed_version text,
    ADD COLUMN publisher_key text;
COMMENT ON COLUMN plugin_revisions.origin IS 'The artefact in a registry that it came from, with its digest, as the uploader stated it; null for a file';
COMMENT ON COLUMN plugin_revisions.signature IS 'The publisher''s signature, as a .minisig file; null if it came without one';
COMMENT ON COLUMN plugin_revisions.signed_version IS 'The version that the signature states; null without one';
COMMENT ON COLUMN plugin_revisions.publisher_key IS 'The public key with which the signature was verified at the upload; null if the server trusted no keys then';
