//! The meaning of `format: {mode: template}`: variants put together, every template compiled once.

use super::Meaning;
use crate::{
    config::{
        RequestTemplate, TemplateFormat,
        file::{self, HttpMethod},
        problem::join,
    },
    encode::template_problems,
};

impl Meaning<'_> {
    /// `None`: reported.
    pub(super) fn template(
        &mut self,
        content_type: String,
        request: file::RequestTemplate,
        variants: [Option<Box<file::Variant>>; 2],
        path: &str,
    ) -> Option<TemplateFormat> {
        let base = self.request(request, path)?;
        let [write, delete] = variants;
        let write = self.variant(&base, write, &join(path, "write"))?;
        let delete = self.variant(&base, delete, &join(path, "delete"))?;
        if write.is_none() && delete.is_none() {
            self.problem(path, "skips writes and deletes; to send nothing write `routing: {mode: skip}`");
            return None;
        }
        let template = TemplateFormat { content_type, write, delete };
        let problems = template_problems(&template);
        let whole = problems.is_empty();
        for (key, problem) in problems {
            self.problem(&self.key_at(path, &key), problem);
        }
        whole.then_some(template)
    }

    /// Where a key of a variant stands: there, or where it is inherited from.
    fn key_at(&self, path: &str, key: &str) -> String {
        let own = format!("{path}.{key}");
        let inherited = key.split_once('.').map_or_else(|| own.clone(), |(_, key)| format!("{path}.{key}"));
        let stands = |path: &str| self.tree.has(path);
        let file = |path: &str| path.replace(".body", ".body-file");
        [own.clone(), file(&own), inherited.clone(), file(&inherited)]
            .into_iter()
            .find(|path| stands(path))
            .unwrap_or(inherited)
    }

    /// `None` inside: not sent.
    fn variant(
        &mut self,
        base: &RequestTemplate,
        file: Option<Box<file::Variant>>,
        path: &str,
    ) -> Option<Option<RequestTemplate>> {
        let Some(file) = file else { return Some(Some(base.clone())) };
        let file::Variant { request, skip } = *file;
        if skip {
            return Some(None);
        }
        let own = self.request(request, path)?;
        let mut headers = base.headers.clone();
        for (name, value) in own.headers {
            headers.retain(|other, _| !other.eq_ignore_ascii_case(&name));
            headers.insert(name, value);
        }
        let codes = own.success_status_codes;
        Some(Some(RequestTemplate {
            body: own.body.or_else(|| base.body.clone()).filter(|body| !body.is_empty()),
            method: own.method.or(base.method),
            path: own.path.or_else(|| base.path.clone()),
            query: own.query.or_else(|| base.query.clone()),
            headers,
            success_status_codes: if codes.is_empty() { base.success_status_codes.clone() } else { codes },
        }))
    }

    fn request(&mut self, file: file::RequestTemplate, path: &str) -> Option<RequestTemplate> {
        let body = match (file.body, file.body_file) {
            (Some(_), Some(_)) => {
                self.problem(path, "has both `body` and `body-file`; keep one of them");
                return None;
            }
            (body, None) => body,
            (None, Some(file)) => Some(self.text_of(&file, &join(path, "body-file"))?),
        };
        let method = file.method.map(|method| match method {
            HttpMethod::Delete => "DELETE",
            HttpMethod::Get => "GET",
            HttpMethod::Head => "HEAD",
            HttpMethod::Patch => "PATCH",
            HttpMethod::Post => "POST",
            HttpMethod::Put => "PUT",
        });
        for code in &file.success_status_codes {
            if !(200..=599).contains(code) {
                let problem = format!("{code} is not the status of a final answer; expected 200 to 599");
                self.problem(&join(path, "success-status-codes"), problem);
            }
        }
        Some(RequestTemplate {
            body,
            method,
            path: file.path,
            query: file.query,
            headers: file.headers,
            success_status_codes: file.success_status_codes,
        })
    }
}
