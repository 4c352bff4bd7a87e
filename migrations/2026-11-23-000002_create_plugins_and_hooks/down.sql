DROP TABLE hooks;
DROP TABLE plugin_revisions;
DROP TABLE plugins;
