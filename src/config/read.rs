//! Reading of settings: a file, overridden by the environment.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sigpersist_hooks::HooksConfig;

use super::AuthConfig;
use super::Config;
use super::HttpConfig;
use super::entries;
use super::origins::no_origin;
use super::{TracesConfig, TransferConfig};
use crate::publishers::Publishers;

const PREFIX: &str = "SIGPERSIST_";
/// Readers of notes need not read more than 16 signatures (C2SP signed-note), and while keys rotate, logs sign more than once.
const MAX_WITNESSES: u32 = 12;
/// Variables that other programs read too, with the settings that they stand for. A variable with our prefix has
/// precedence.
const SHARED: [(&str, &str); 2] = [
    ("DATABASE_URL", "database_url"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "traces_endpoint"),
];

impl Config {
    /// Reads the file, if there is one, and the environment, which overrides it. Other variables are ignored, but one
    /// that begins with the name of a section must be a known setting.
    ///
    /// # Errors
    ///
    /// A sentence that names the file or variable, and the mistake.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let mut settings = match file {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| {
                    format!("The configuration file {} can't be read", path.display())
                })?;
                // Checked by itself first, so that the error message shows the line of the file.
                toml::from_str::<Self>(&text).with_context(|| {
                    format!("The configuration file {} is not valid", path.display())
                })?;
                toml::from_str(&text)?
            }
            None => toml::Table::new(),
        };
        // Variables with our prefix come last, and so override others.
        let mut environment: Vec<_> = environment.into_iter().collect();
        environment.sort_by_key(|(variable, _)| variable.starts_with(PREFIX));
        for (variable, value) in environment {
            let shared = SHARED.iter().find(|(name, _)| *name == variable);
            if let Some((_, setting)) = shared {
                if !value.is_empty() {
                    set(&mut settings, &variable, setting, value)?;
                }
            } else if let Some(name) = variable.strip_prefix(PREFIX) {
                set(&mut settings, &variable, &name.to_lowercase(), value)?;
            }
        }
        let config: Self = settings
            .try_into()
            .context("The environment's settings are not valid")?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        for (name, value) in [
            ("http.max_signature_bytes", self.http.max_signature_bytes),
            ("http.max_bytes_in_flight", self.http.max_bytes_in_flight),
            ("http.max_connections", self.http.max_connections),
            ("database.pool_size", self.database.pool_size as usize),
            (
                "database.pool_timeout_ms",
                usize::try_from(self.database.pool_timeout_ms).unwrap_or(usize::MAX),
            ),
            (
                "auth.jwks_timeout_ms",
                usize::try_from(self.auth.jwks_timeout_ms).unwrap_or(usize::MAX),
            ),
            (
                "auth.jwks_interval_s",
                usize::try_from(self.auth.jwks_interval_s).unwrap_or(usize::MAX),
            ),
            ("hooks.timeout_ms", self.hooks.timeout_ms as usize),
            ("hooks.max_memory_bytes", self.hooks.max_memory_bytes),
            (
                "hooks.max_compile_cpu_ms",
                usize::try_from(self.hooks.max_compile_cpu_ms).unwrap_or(usize::MAX),
            ),
        ] {
            if value == 0 {
                bail!("The setting {name} must be at least 1.");
            }
        }
        if let Some(wrong) = no_origin(&self.http.cors_origins) {
            bail!(
                "The setting http.cors_origins has {wrong:?}, which is not an origin as browsers write it: a scheme, a host and perhaps a port, such as https://app.example.com, in lower case and without a slash at the end."
            );
        }
        if let Err(wrong) = Publishers::parse(entries(&self.plugins.require_signature)) {
            bail!("The setting plugins.require_signature can't be used: {wrong}");
        }
        if self.traces.percent > 100 {
            bail!("The setting traces.percent must not be above 100.");
        }
        if self.hooks.timeout_ms > self.hooks.max_timeout_ms {
            bail!("The setting hooks.timeout_ms must not be above hooks.max_timeout_ms.");
        }
        if self.evidence.max_witnesses > MAX_WITNESSES {
            bail!("The setting evidence.max_witnesses must not be above {MAX_WITNESSES}.");
        }
        Ok(())
    }
}

/// Sets one variable's setting, with the type that the setting has.
fn set(
    settings: &mut toml::Table,
    variable: &str,
    name: &str,
    value: String,
) -> anyhow::Result<()> {
    let known = toml::Table::try_from(every_setting())?;
    let (table, key, example) = if let Some(example) =
        known.get(name).filter(|example| !example.is_table())
    {
        (settings, name, example)
    } else if let Some((section, key, example)) = name.split_once('_').and_then(|(section, key)| {
        let example = known.get(section)?.as_table()?.get(key)?;
        Some((section, key, example))
    }) {
        let section = settings
            .entry(section)
            .or_insert_with(|| toml::Table::new().into())
            .as_table_mut()
            .context("a section is a table")?;
        (section, key, example)
    } else if name
        .split_once('_')
        .is_some_and(|(section, _)| known.contains_key(section))
    {
        bail!(
            "There is no setting for the environment variable {variable}; sigpersist.toml lists all settings."
        );
    } else {
        // Not a setting: for example, Kubernetes sets SIGPERSIST_SERVICE_HOST for a service named `sigpersist`.
        return Ok(());
    };
    let value = match example {
        toml::Value::Integer(_) => value
            .parse::<i64>()
            .with_context(|| format!("The environment variable {variable} must be a whole number"))?
            .into(),
        toml::Value::Boolean(_) => value
            .parse::<bool>()
            .with_context(|| format!("The environment variable {variable} must be true or false"))?
            .into(),
        _ => toml::Value::String(value),
    };
    table.insert(key.to_owned(), value);
    Ok(())
}

/// A configuration with all optional settings set, so that their names are known.
fn every_setting() -> Config {
    Config {
        data_dir: Some(PathBuf::new()),
        database_url: Some(String::new()),
        master_key_file: Some(PathBuf::new()),
        http: HttpConfig {
            watch_listen: Some(String::new()),
            ..HttpConfig::default()
        },
        auth: AuthConfig {
            issuer: Some(String::new()),
            audience: Some(String::new()),
            jwks_ca_file: Some(PathBuf::new()),
            ..AuthConfig::default()
        },
        hooks: HooksConfig {
            cache_dir: Some(PathBuf::new()),
            compiler: Some(PathBuf::new()),
            ..HooksConfig::default()
        },
        transfer: TransferConfig {
            dir: Some(PathBuf::new()),
        },
        traces: TracesConfig {
            endpoint: Some(String::new()),
            ..TracesConfig::default()
        },
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogFormat;

    fn load(environment: &[(&str, &str)]) -> anyhow::Result<Config> {
        let pairs = environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(None, pairs)
    }

    #[test]
    fn the_environment_sets_any_setting() {
        let config = load(&[
            ("DATABASE_URL", "postgres://db/x"),
            ("SIGPERSIST_MASTER_KEY_FILE", "/key"),
            ("SIGPERSIST_HOOKS_TIMEOUT_MS", "7"),
            ("SIGPERSIST_AUTH_AUDIENCE", "123"),
            ("SIGPERSIST_LOG_FORMAT", "json"),
            ("PATH", "/bin"),
        ])
        .unwrap();
        assert_eq!(config.database_url.as_deref(), Some("postgres://db/x"));
        assert_eq!(config.master_key_file.as_deref(), Some(Path::new("/key")));
        assert_eq!(config.hooks.timeout_ms, 7);
        assert_eq!(config.auth.audience.as_deref(), Some("123"));
        assert_eq!(config.log.format, LogFormat::Json);
    }

    #[test]
    fn what_is_answered_at_once_follows_from_connections_and_hooks_unless_it_is_set() {
        let answered = |most: &str, pool: &str, judged: &str| {
            let config = load(&[
                ("SIGPERSIST_HTTP_MAX_CONCURRENT_REQUESTS", most),
                ("SIGPERSIST_DATABASE_POOL_SIZE", pool),
                ("SIGPERSIST_HOOKS_MAX_CONCURRENT", judged),
            ]);
            config.unwrap().answered_at_once()
        };
        assert_eq!(answered("0", "16", "8"), 64);
        assert_eq!(answered("0", "16", "200"), 400);
        assert_eq!(answered("5", "16", "200"), 5);
    }

    #[test]
    fn variables_with_our_own_name_win_over_those_of_others_in_any_order() {
        let own = ("SIGPERSIST_DATABASE_URL", "postgres://own/x");
        let shared = ("DATABASE_URL", "postgres://shared/x");
        for environment in [[own, shared], [shared, own]] {
            let url = load(&environment).unwrap().database_url;
            assert_eq!(url.as_deref(), Some(own.1));
        }
    }

    #[test]
    fn mistakes_are_named() {
        let unknown = load(&[("SIGPERSIST_HOOKS_TIMEOUT", "7")]).unwrap_err();
        assert!(
            unknown.to_string().contains("SIGPERSIST_HOOKS_TIMEOUT"),
            "{unknown}"
        );
        let wrong = load(&[("SIGPERSIST_HOOKS_TIMEOUT_MS", "soon")]).unwrap_err();
        assert!(wrong.to_string().contains("whole number"), "{wrong}");
        assert!(load(&[("SIGPERSIST_DATABASE_POOL_SIZE", "0")]).is_err());
        assert_eq!(
            load(&[("SIGPERSIST_SERVICE_HOST", "10.0.0.1")]).unwrap(),
            Config::default()
        );
    }

    /// The annotated file shows every setting at its default. Settings that are commented out are checked too.
    #[test]
    fn the_annotated_file_lists_every_setting_with_its_default() {
        let text = include_str!("../../sigpersist.toml");
        let uncommented: String = text
            .lines()
            .map(|line| {
                line.strip_prefix("#")
                    .filter(|rest| !rest.starts_with(' '))
                    .unwrap_or(line)
            })
            .fold(String::new(), |all, line| all + line + "\n");
        let shown: toml::Table = toml::from_str(&uncommented).unwrap();
        let config: Config = toml::from_str(&uncommented).unwrap();
        for (section, value) in toml::Table::try_from(every_setting()).unwrap() {
            let shown = shown
                .get(&section)
                .unwrap_or_else(|| panic!("{section} is not shown"));
            for key in value.as_table().into_iter().flat_map(toml::Table::keys) {
                assert!(shown.get(key).is_some(), "{section}.{key} is not shown");
            }
        }
        let defaults = Config::default();
        let http = HttpConfig {
            watch_listen: None,
            ..config.http
        };
        assert_eq!((http, config.database), (defaults.http, defaults.database));
        let hooks = HooksConfig {
            cache_dir: None,
            compiler: None,
            ..config.hooks
        };
        assert_eq!((hooks, config.log), (defaults.hooks, defaults.log));
        assert_eq!(
            AuthConfig {
                issuer: None,
                audience: None,
                jwks_ca_file: None,
                ..config.auth
            },
            defaults.auth
        );
        assert_eq!(config.traces.percent, defaults.traces.percent);
        assert_eq!(
            (config.tenants, config.quotas),
            (defaults.tenants, defaults.quotas)
        );
    }

    /// The README's table of limits lists every limit that is a setting, with its default.
    #[test]
    fn the_readme_lists_every_limit_with_its_default() {
        let readme = include_str!("../../README.md");
        let mut listed = Vec::new();
        for row in readme.lines().filter(|line| line.starts_with("| ")) {
            let cells: Vec<_> = row.split(" | ").collect();
            if let [_, settings, defaults, _] = cells[..] {
                let pairs = settings.split(", ").zip(defaults.split(", "));
                listed.extend(pairs.map(|(setting, value)| format!("{setting} {value}")));
            }
        }
        let is_limit = |section: &str, key: &str| {
            let marks = ["max_", "timeout_ms", "pool_size", "fuel"];
            section == "quotas" || marks.iter().any(|mark| key.contains(mark))
        };
        let defaults = serde_json::to_value(Config::default()).unwrap();
        for (section, settings) in defaults.as_object().unwrap() {
            for (key, value) in settings.as_object().into_iter().flatten() {
                let limit = format!("`{section}.{key}` {value}");
                assert!(
                    !is_limit(section, key) || listed.contains(&limit),
                    "{limit} is not in the table"
                );
            }
        }
    }
}
