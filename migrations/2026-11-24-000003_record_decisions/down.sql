DROP TABLE hook_inputs;
DROP TABLE hook_judgements;
