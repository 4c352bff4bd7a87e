ALTER TABLE plugin_revisions
    DROP COLUMN publisher_key, DROP COLUMN signed_version, DROP COLUMN signature, DROP COLUMN origin;
