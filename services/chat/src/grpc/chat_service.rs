//! `ChatService`, method by method.

use kit::access::{self, Principal};
use rapport_proto::chat::v1::{self as chat, chat_service_server::ChatService};
use tonic::{Request, Response, Status, Streaming};

use super::{chatrooms, images, messages, persons, phygital, watching};
use crate::{app::App, error::ChatError};

/// Answers the methods of `ChatService`.
pub(crate) struct ChatGrpc(pub(crate) App);

type Answer<T> = Result<Response<T>, Status>;

fn parts<T>(request: Request<T>) -> Result<(Principal, T), ChatError> {
    let principal = access::principal(&request)?;
    Ok((principal, request.into_inner()))
}

#[tonic::async_trait]
impl ChatService for ChatGrpc {
    async fn open_direct_chatroom(
        &self,
        request: Request<chat::OpenDirectChatroomRequest>,
    ) -> Answer<chat::OpenDirectChatroomResponse> {
        let (principal, request) = parts(request)?;
        Ok(Response::new(
            chatrooms::open_direct(&self.0, principal, request).await?,
        ))
    }

    async fn resume_chatroom(
        &self,
        request: Request<chat::ResumeChatroomRequest>,
    ) -> Answer<chat::ResumeChatroomResponse> {
        let (principal, request) = parts(request)?;
        Ok(Response::new(
            chatrooms::resume(&self.0, principal, request).await?,
        ))
    }

    async fn get_chatroom(
        &self,
        request: Request<chat::GetChatroomRequest>,
    ) -> Answer<chat::GetChatroomResponse> {
        let (principal, request) = parts(request)?;
        Ok(Response::new(
            chatrooms::get(&self.0, principal, request).await?,
        ))
    }

    async fn list_chatrooms(
        &self,
        request: Request<chat::ListChatroomsRequest>,
    ) -> Answer<chat::ListChatroomsResponse> {
        let (principal, request) = parts(request)?;
        Ok(Response::new(
            chatrooms::list(&self.0, principal, request).await?,
        ))
    }

    async fn send_message(
        &self,
        request: Request<chat::SendMessageRequest>,
    ) -> Answer<chat::SendMessageResponse> {
        let (principal, request) = parts(request)?;
        Ok(Response::new(
            messages::send(&self.0, principal, request).await?,
        ))
    }

    async fn list_messages(
        &self,
        request: Request<chat::ListMessagesRequest>,
    ) -> Answer<chat::ListMessagesResponse> {
        let (principal, request) = parts(request)?;
        Ok(Response::new(
            messages::list(&self.0, principal, request).await?,
        ))
    }

    async fn mark_read(
        &self,
        request: Request<chat::MarkReadRequest>,
    ) -> Answer<chat::MarkReadResponse> {
        let (principal, request) = parts(request)?;
        Ok(Response::new(
            chatrooms::mark_read(&self.0, principal, request).await?,
        ))
    }

    async fn issue_phygital_code(
        &self,
        request: Request<chat::IssuePhygitalCodeRequest>,
    ) -> Answer<chat::IssuePhygitalCodeResponse> {
        let (principal, request) = parts(request)?;
        Ok(Response::new(
            phygital::issue(&self.0, principal, request).await?,
        ))
    }

    async fn start_phygital_chatroom(
        &self,
        request: Request<chat::StartPhygitalChatroomRequest>,
    ) -> Answer<chat::StartPhygitalChatroomResponse> {
        let (principal, request) = parts(request)?;
        Ok(Response::new(
            phygital::start(&self.0, principal, request).await?,
        ))
    }

    async fn list_person_messages(
        &self,
        request: Request<chat::ListPersonMessagesRequest>,
    ) -> Answer<chat::ListPersonMessagesResponse> {
        let (principal, request) = parts(request)?;
        Ok(Response::new(
            messages::list_of_person(&self.0, principal, request).await?,
        ))
    }

    async fn set_archived(
        &self,
        request: Request<chat::SetArchivedRequest>,
    ) -> Answer<chat::SetArchivedResponse> {
        let (principal, request) = parts(request)?;
        Ok(Response::new(
            chatrooms::set_archived(&self.0, principal, request).await?,
        ))
    }

    async fn set_blocked(
        &self,
        request: Request<chat::SetBlockedRequest>,
    ) -> Answer<chat::SetBlockedResponse> {
        let (principal, request) = parts(request)?;
        Ok(Response::new(
            chatrooms::set_blocked(&self.0, principal, request).await?,
        ))
    }

    async fn request_rating(
        &self,
        request: Request<chat::RequestRatingRequest>,
    ) -> Answer<chat::RequestRatingResponse> {
        let (principal, request) = parts(request)?;
        Ok(Response::new(
            messages::request_rating(&self.0, principal, request).await?,
        ))
    }

    async fn answer_rating(
        &self,
        request: Request<chat::AnswerRatingRequest>,
    ) -> Answer<chat::AnswerRatingResponse> {
        let (principal, request) = parts(request)?;
        Ok(Response::new(
            messages::answer_rating(&self.0, principal, request).await?,
        ))
    }

    async fn upload_image(
        &self,
        request: Request<Streaming<chat::UploadImageRequest>>,
    ) -> Answer<chat::UploadImageResponse> {
        let (principal, parts) = parts(request)?;
        Ok(Response::new(
            images::upload(&self.0, &principal, parts).await?,
        ))
    }

    type DownloadImageStream = images::Download;

    async fn download_image(
        &self,
        request: Request<chat::DownloadImageRequest>,
    ) -> Answer<Self::DownloadImageStream> {
        let (principal, request) = parts(request)?;
        Ok(Response::new(
            images::download(&self.0, &principal, request).await?,
        ))
    }

    type WatchChatroomsStream = watching::Updates;

    async fn watch_chatrooms(
        &self,
        request: Request<chat::WatchChatroomsRequest>,
    ) -> Answer<Self::WatchChatroomsStream> {
        let (principal, request) = parts(request)?;
        Ok(Response::new(
            watching::watch(&self.0, principal, request).await?,
        ))
    }

    async fn erase_person(
        &self,
        request: Request<chat::ErasePersonRequest>,
    ) -> Answer<chat::ErasePersonResponse> {
        let (principal, request) = parts(request)?;
        Ok(Response::new(
            persons::erase(&self.0, principal, request).await?,
        ))
    }

    type ExportPersonStream = persons::Export;

    async fn export_person(
        &self,
        request: Request<chat::ExportPersonRequest>,
    ) -> Answer<Self::ExportPersonStream> {
        let (principal, request) = parts(request)?;
        Ok(Response::new(persons::export(
            &self.0, &principal, &request,
        )?))
    }
}
