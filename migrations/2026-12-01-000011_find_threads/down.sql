DROP FUNCTION signature_create_3;
DROP FUNCTION signature_save_3;
DO $$
DECLARE
    tenants integer[];
    tenant integer;
BEGIN
    PERFORM set_config('sigpersist.tenant', '0', true);
    tenants := ARRAY(SELECT id FROM tenants);
    FOREACH tenant IN ARRAY tenants LOOP
        PERFORM set_config('sigpersist.tenant', tenant::text, true);
        DELETE FROM policies
        WHERE accept = 'any' AND detached = 'accept' AND revocation = 'if_present' AND NOT record_verdicts
          AND NOT index_signers;
    END LOOP;
    PERFORM set_config('sigpersist.tenant', '', true);
END
$$;
ALTER TABLE policies DROP COLUMN index_signers;
DROP INDEX signature_versions_recent_idx;
ALTER TABLE signature_versions DROP COLUMN signers_indexed;
DROP TABLE signature_terms;
