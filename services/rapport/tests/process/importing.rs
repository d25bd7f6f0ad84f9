//! The import of a CSV file, by the program into a suite that runs.

use std::{io::Write, process::Stdio};

use super::*;

const FILE: &str = "\
order_id,order_time,customer_id,email,currency,total,shipping,status,refund_id,refund_amount
A-1,2026-01-05T10:00:00Z,ann,,EUR,129.90,4.90,OK,,
A-2,2026-01-05,ann,,EUR,50,,OK,r1,10.5
A-3,2026-01-05,ann,,EUR,12.345,,,,
A-4,2026-01-05,,,EUR,1,,,,
A-5,2026-01-05,ann
A-1,2026-01-05T10:00:00Z,ann,,EUR,130,4.90,,,
\"A
6\",05.01.2026,ann,,EUR,1,,,,
A-7,2026-01-05,,not an address,EUR,1,,,,
A-2,2026-01-05,ann,,EUR,50,,,r2,1
A-8,2026-01-05,bob,,JPY,5000,,OK,,
";

fn import(process: &Process, brand: (&str, &str), arguments: &[&str], file: &str) -> Output {
    let mut command = rapport();
    command.args(["import-orders", "-", "--brand", brand.0]);
    command.args(arguments).env("RAPPORT_API_KEY", brand.1);
    for (service, addr) in &process.addrs {
        command
            .arg(format!("--{service}-addr"))
            .arg(addr.to_string());
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(file.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

fn texts(output: &Output) -> (String, Vec<String>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let lines = text(&output.stderr);
    (
        text(&output.stdout),
        lines.lines().map(str::to_owned).collect(),
    )
}

#[tokio::test]
async fn a_csv_file_is_imported_and_its_bad_lines_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path());
    // The demo Brand is there when the calls to paste are printed.
    assert_eq!(process.calls().len(), 3);
    let json = std::fs::read(folder.path().join("demo-brand.json")).unwrap();
    let brand: Value = serde_json::from_slice(&json).unwrap();
    let api_key = brand["api_key"].as_str().unwrap();
    let brand = ("demo", api_key);
    let dry = import(&process, brand, &["--dry-run"], FILE);
    assert_eq!(texts(&dry).0, "6 lines could be sent, 4 refused\n");
    for _ in 0..2 {
        let output = import(&process, brand, &[], FILE); // SPEC 35: again is the same
        let (told, mut lines) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{lines:?}");
        assert_eq!(
            told,
            "4 lines recorded: 0 credited to a conversation, 0 to none, 4 pending; 6 refused\n"
        );
        lines.sort();
        let expected = [
            "line 10: FIELD_INVALID: order.buyer.email",
            "line 4: total has more than the 2 decimals of EUR",
            "line 5: account_id, customer_id, cart_id and email are all empty",
            "line 6: has 3 cells where the first line has 10",
            "line 7: ORDER_ID_REUSED: order A-1 was recorded with another body",
            "line 8: order_time must be a date such as 2026-11-22, or a date and time",
            "rapport: 6 lines were refused",
        ];
        assert_eq!(lines.len(), expected.len(), "{lines:?}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with(expected), "{line}");
            assert!(!line.contains("not an address"), "{line}"); // SPEC 58
        }
    }
    let good = "order_id,customer_id,currency,total\nB-1,ann,EUR,1\n";
    let output = import(&process, brand, &["--time-zone", "Europe/Berlin"], good);
    assert_eq!(
        (output.status.code(), texts(&output).1),
        (Some(0), Vec::new())
    );
    let refused = import(&process, ("demo", "rk_wrong"), &[], good);
    assert_eq!(refused.status.code(), Some(1));
    let unknown = "order_id,currency,total,price\n";
    let (_, lines) = texts(&import(&process, brand, &[], unknown));
    assert!(
        lines[0].contains("there is no column \"price\""),
        "{lines:?}"
    );
}
