DROP POLICY platform ON policies;
ALTER TABLE policies DROP COLUMN cors_origins;
