//! `to-sagemaker`, against an endpoint that answers as the API of SageMaker's runtime does.

use e2e::pretend::{Answer, Asked, Pretend};
use serde_json::{Value, json};

use super::stage::{Stage, event, event_of, failures};

fn endpoint(asked: &Asked) -> Answer {
    assert_eq!((asked.method.as_str(), asked.uri.path()), ("POST", "/endpoints/fraud/invocations"));
    assert_eq!(asked.header("content-type"), "application/json");
    assert!(asked.header("authorization").contains("/us-east-1/sagemaker/aws4_request"));
    let question = asked.json();
    let model = |status: u16| json!({"__type": "ModelError", "Message": "hunter2", "OriginalStatusCode": status, "OriginalMessage": "hunter2"});
    match question["qty"].as_u64() {
        Some(400) => (424, model(400)),
        Some(503) => (424, model(503)),
        Some(quantity) => (200, json!({"score": quantity})),
        None => panic!("{question}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_model_says_is_in_the_queue() {
    let model = Pretend::answering(endpoint).await;
    let settings = json!({
        "queues": ["judged"],
        "timeout": 30,
        "environment": {"ENDPOINT_NAME": "fraud", "QUEUE_URL": "url:judged", "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": model.url()},
        "statements": [[["sqs:SendMessage", "sqs:SendMessageBatch"], "queue:judged"]],
    });
    let Some(stage) = Stage::new(env!("CARGO_BIN_EXE_to-sagemaker-under-test"), settings).await else {
        return;
    };
    // A write and a delete.
    assert_eq!(failures(&stage.invoke(&event("to-sagemaker")).await), json!([]));
    let about = json!({"namespace": "shop", "set": "orders", "digest": "UisnajVr3zkBPfq+os1D4UHsyeg="});
    let expected = json!({"key": about, "lut": 1_767_225_600_123_u64, "result": {"score": 3}});
    assert_eq!(stage.messages("judged").await, [expected]);

    let record = |digest: u8, quantity: u64| {
        let digest = notification::Digest([digest; 20]).to_base64();
        json!({"_meta": {"namespace": "shop", "digest": digest, "msg": "write", "lut": 1}, "qty": quantity})
    };
    let failed = failures(&stage.invoke(&event_of(&[record(1, 400), record(2, 503), record(3, 5)])).await);
    let item = |at: usize| {
        (
            failed[at]["itemIdentifier"].clone(),
            failed[at].get("retryable").cloned(),
            failed[at]["reason"].clone(),
        )
    };
    assert_eq!(item(0), (json!("0"), Some(json!(false)), json!("the model answered 400")));
    assert_eq!(item(1), (json!("1"), None, json!("the model answered 503")));
    assert_eq!(failed.as_array().map(Vec::len), Some(2), "{failed}");
    let scores: Vec<Value> =
        stage.messages("judged").await.iter().map(|message| message["result"]["score"].clone()).collect();
    assert_eq!(scores, [json!(3), json!(5)]);
}
