//! The answer of a consumer that processed some records and not others: `batchItemFailures`. Pure.
