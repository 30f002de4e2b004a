//! The plain way to ask: one client, one request after the other, the body as text.

use reqwest::Client;

fn main() {
    // It asks for one, although nothing is encrypted here.
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("the first one");
    probes::run(
        async |url: String| {
            let client = Client::builder()
                .tls_certs_only([])
                .build()
                .expect("a client");
            (client, url)
        },
        async |(client, url): &mut (Client, String)| match client.get(url.as_str()).send().await {
            Ok(response) => response.text().await.is_ok_and(|text| text.contains("now")),
            Err(_) => false,
        },
    );
}
