DROP FUNCTION signature_save_1;
