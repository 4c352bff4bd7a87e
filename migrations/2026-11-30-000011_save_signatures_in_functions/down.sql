DROP FUNCTION signature_create_1;
DROP FUNCTION signature_save_1;
