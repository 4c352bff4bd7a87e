//! The first lines of the README: a signature, and another one over it.
#![expect(clippy::print_stdout, reason = "it is an example")]

use sigpersist_client::{Client, Draft, TenantKey};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let setting = |name| std::env::var(name);
    let key = TenantKey::new(
        setting("SIGPERSIST_KEY_ID")?,
        &setting("SIGPERSIST_SECRET")?,
    );
    let client = Client::new(&setting("SIGPERSIST_URL")?, key)?;
    let first = Draft::new("contract", "approval", std::fs::read("first.cms")?).tag("customer_1");
    client.save(&first).await?;
    let signing = client.countersign("contract", "approval", |previous| async move {
        // Show `previous` to a person, who signs it.
        let signed = std::fs::read("countersigned.cms")?;
        Ok(Some(previous.countersigned(signed).tag("signed")))
    });
    println!("version {}", signing.await?.version);
    Ok(())
}
