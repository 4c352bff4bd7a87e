DROP INDEX signatures_document_idx;
DROP INDEX signatures_chain_idx;
