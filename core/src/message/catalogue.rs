//! Every message with its code and texts.
//!
//! Codes by their hundreds: 00 the host and its ownership, 01 configuration and plugins,
//! 02 jobs, 03 partners and what they hold, 04 the journal and the disk, 05 hosts that come.

use std::net::IpAddr;

use super::{Entry, Language};
use crate::{Epoch, InstanceName, JobId, PartnerName};

/// A template that lacks a field of its message, or names another, does not compile.
macro_rules! catalogue {
    ($($name:ident { $($field:ident: $type:ty),* } $code:literal $english:literal $japanese:literal)+) => {
        /// What the operator is told.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Message {
            $(
                #[doc = concat!($code, ": ", $english)]
                $name {
                    $(#[doc = concat!("The `", stringify!($field), "` of the text.")] $field: $type,)*
                },
            )+
        }

        impl Message {
            /// Every message, in the order of the codes.
            pub const CATALOGUE: &'static [Entry] =
                &[$(Entry { code: $code, english: $english, japanese: $japanese }),+];

            /// The message's line of the catalogue.
            pub fn entry(&self) -> Entry {
                match self {
                    $(Self::$name { .. } => {
                        Entry { code: $code, english: $english, japanese: $japanese }
                    })+
                }
            }

            /// What happened and, where somebody must act, what to do.
            pub fn text(&self, language: Language) -> String {
                match (self, language) {
                    $(
                        (Self::$name { $($field),* }, Language::English) => {
                            format!($english, $($field = $field),*)
                        }
                        (Self::$name { $($field),* }, Language::Japanese) => {
                            format!($japanese, $($field = $field),*)
                        }
                    )+
                }
            }
        }
    };
}

catalogue! {
    HostStarted { host: String, node: String, epoch: Epoch } "0001I"
        "Host started. Host({host}) Node({node}) Epoch({epoch})"
        "ホストを開始しました。ホスト({host}) ノード({node}) エポック({epoch})"
    HostReady { restarted: usize, settled: usize } "0002I"
        "Host is ready. Jobs restarted({restarted}) Jobs to settle({settled})"
        "ホストの準備が完了しました。再起動ジョブ({restarted}) 確認対象ジョブ({settled})"
    HostStopping { jobs: usize } "0003I"
        "Host is stopping. Jobs moving({jobs})"
        "ホストを停止しています。転送中ジョブ({jobs})"
    HostStopped {} "0004I"
        "Host stopped."
        "ホストを停止しました。"
    StopTimedOut { jobs: usize, seconds: u64 } "0005W"
        "The stop took longer than allowed and was cut short; the jobs go on from their record at the next start. Raise limits.stop_timeout_s if this repeats. Jobs({jobs}) Waited({seconds} s)"
        "停止処理が制限時間内に終わらなかったため打ち切りました。ジョブは次回開始時に記録から再開します。繰り返す場合は limits.stop_timeout_s を増やしてください。ジョブ({jobs}) 待ち時間({seconds} 秒)"
    TakenOver { node: String, epoch: Epoch, previous: Epoch } "0006I"
        "Instance taken over. Node({node}) Epoch({epoch}) Previous({previous})"
        "インスタンスを引き継ぎました。ノード({node}) エポック({epoch}) 前エポック({previous})"
    Fenced { owner: String, epoch: Epoch } "0007E"
        "Another node owns the instance: this host ends and touches nothing more. Nothing to do if the switch was intended; else look at the cluster's log. Owner({owner}) Epoch({epoch})"
        "他ノードがインスタンスを所有しているため、このホストは何も変更せず終了します。意図した切替えなら対処は不要です。それ以外はクラスタのログを確認してください。所有ノード({owner}) エポック({epoch})"
    SelfFenced { cause: String } "0008E"
        "This host can no longer be sure of its ownership and ends. Remove the cause, then let the cluster start it again. Cause({cause})"
        "所有権を確認できないため、このホストは終了します。原因を取り除いてから、クラスタにより再開始してください。原因({cause})"
    LockHeld { node: String } "0009W"
        "The predecessor's lock is still held: it may be alive. Make sure that the cluster fences it; the instance is taken over all the same. Node({node})"
        "前ノードのロックが残っており、動作中の可能性があります。引継ぎは続行しますが、クラスタによる隔離を確認してください。ノード({node})"
    ServiceStarted { service: String } "0010I"
        "Service started. Service({service})"
        "サービスを開始しました。サービス({service})"
    ServiceStopped { service: String } "0011I"
        "Service stopped. `ferryway service start {service}` starts it again. Service({service})"
        "サービスを停止しました。`ferryway service start {service}` で再開できます。サービス({service})"

    PluginLoaded { file: String, transport: String } "0101I"
        "Plugin loaded. File({file}) Transport({transport})"
        "プラグインを読み込みました。ファイル({file}) トランスポート({transport})"
    PluginRefused { file: String, reason: String } "0102E"
        "Plugin refused; partners that need it cannot be reached. Put a plugin of the same build as the host there; `ferryway plugins` shows both sides. File({file}) Reason({reason})"
        "プラグインを拒否しました。これを使用する相手とは通信できません。ホストと同じビルドのプラグインを配置してください。詳細は `ferryway plugins` で確認できます。ファイル({file}) 理由({reason})"
    PartnerUnusable { partner: PartnerName, reason: String } "0103E"
        "Partner cannot be used; its jobs wait. Correct its settings, then reload. Partner({partner}) Reason({reason})"
        "相手を使用できないため、ジョブは待機します。設定を修正して再読込みしてください。相手({partner}) 理由({reason})"
    ConfigReloaded { partners: usize, definitions: usize } "0104I"
        "Configuration reloaded. Partners({partners}) Definitions({definitions})"
        "設定を再読込みしました。相手({partners}) 定義({definitions})"
    ConfigRefused { faults: usize, first: String } "0105E"
        "The new configuration has faults and the old one stays in force. `ferryway check` lists all of them; correct them and reload. Faults({faults}) First({first})"
        "新しい設定に誤りがあるため、以前の設定を使用します。`ferryway check` ですべての誤りを確認し、修正して再読込みしてください。件数({faults}) 先頭({first})"
    ConfigWarning { warning: String } "0106W"
        "The configuration works but should be looked at. `ferryway check` says more. Warning({warning})"
        "設定は有効ですが、確認が必要です。詳細は `ferryway check` で確認できます。警告({warning})"
    SourceAddress { address: IpAddr, place: String } "0107I"
        "Connections to partners leave from this address from now on. Address({address}) Named by({place})"
        "以後、相手への接続のソースアドレスとして次を使用します。アドレス({address}) 設定箇所({place})"
    SourceAddressOfSystem {} "0108I"
        "Connections to partners leave from the address that the system chooses from now on."
        "以後、相手への接続のソースアドレスはシステムが選択します。"
    SourceAddressAbsent { address: IpAddr, place: String } "0109W"
        "The source address is not one of this machine's: nothing connects, jobs wait and go on by themselves when it is. Bring the address up here or correct it if this stays. Address({address}) Named by({place})"
        "ソースアドレスがこのマシンのものではないため、接続を行いません。ジョブは待機し、アドレスが有効になると自動で続行します。解消しない場合は、このマシンでアドレスを有効にするか、設定を修正してください。アドレス({address}) 設定箇所({place})"
    SourceAddressUnclear { fault: String } "0110E"
        "The file that names the source address has a fault: nothing connects, jobs wait. Correct the file; jobs then go on by themselves. Fault({fault})"
        "ソースアドレスを設定するファイルに誤りがあるため、接続を行いません。ジョブは待機します。ファイルを修正すると自動で続行します。誤り({fault})"
    ReloadCountsLater { keys: String } "0111W"
        "The configuration was reloaded, but these changes count from the next start of the host. Keys({keys})"
        "設定を再読込みしましたが、次の変更はホストの次回開始時に有効になります。キー({keys})"

    JobAccepted { job: JobId, partner: PartnerName } "0201I"
        "Job accepted. Job({job}) Partner({partner})"
        "ジョブを受け付けました。ジョブ({job}) 相手({partner})"
    JobStarted { job: JobId, attempt: u32 } "0202I"
        "Job started. Job({job}) Attempt({attempt})"
        "ジョブを開始しました。ジョブ({job}) 試行({attempt})"
    JobCompleted { job: JobId, bytes: u64 } "0203I"
        "Job completed. Job({job}) Bytes({bytes})"
        "ジョブが正常終了しました。ジョブ({job}) バイト数({bytes})"
    AttemptFailed { job: JobId, attempt: u32, reason: String } "0204W"
        "Attempt failed. The job is tried again or suspended, as its next message says. Job({job}) Attempt({attempt}) Reason({reason})"
        "試行が失敗しました。再試行または保留については次のメッセージを参照してください。ジョブ({job}) 試行({attempt}) 理由({reason})"
    RetryAt { job: JobId, time: String, attempt: u32 } "0205I"
        "Job will be tried again. Job({job}) At({time}) Attempt({attempt})"
        "ジョブを再試行します。ジョブ({job}) 時刻({time}) 試行({attempt})"
    JobFailed { job: JobId, reason: String } "0206E"
        "Job failed. Remove the cause, then `ftprel restart {job}`. Job({job}) Reason({reason})"
        "ジョブが異常終了しました。原因を取り除いてから `ftprel restart {job}` を実行してください。ジョブ({job}) 理由({reason})"
    JobSuspended { job: JobId, reason: String } "0207E"
        "Job suspended: it needs an operator. Remove the cause, then `ftprel restart {job}`. Job({job}) Reason({reason})"
        "オペレータの対処が必要なため、ジョブを保留しました。原因を取り除いてから `ftprel restart {job}` を実行してください。ジョブ({job}) 理由({reason})"
    JobHeld { job: JobId } "0208I"
        "Job held by the operator. Job({job})"
        "オペレータがジョブを保留しました。ジョブ({job})"
    JobReleased { job: JobId } "0209I"
        "Job released by the operator. Job({job})"
        "オペレータがジョブの保留を解除しました。ジョブ({job})"
    JobCancelled { job: JobId } "0210I"
        "Job cancelled by the operator. Job({job})"
        "オペレータがジョブを取り消しました。ジョブ({job})"
    JobRestarted { job: JobId } "0211I"
        "Job restarted by the operator. Job({job})"
        "オペレータがジョブを再起動しました。ジョブ({job})"
    JobForced { job: JobId } "0212W"
        "Job restarted by force. Make sure that its former attempt is over, and look at the target afterwards. Job({job})"
        "ジョブを強制起動しました。以前の試行が終了していることを確認し、転送後のファイルを確認してください。ジョブ({job})"
    ResumedFrom { job: JobId, offset: u64, size: u64 } "0213I"
        "Transfer resumed. Job({job}) Offset({offset}) Size({size})"
        "転送を途中から再開しました。ジョブ({job}) オフセット({offset}) サイズ({size})"
    Recovering { job: JobId, status: String } "0214I"
        "Unfinished job restarted at the takeover. Job({job}) Status({status})"
        "仕掛りジョブを再起動しました。ジョブ({job}) ステータス({status})"
    CannotRecover { job: JobId } "0215E"
        "Job can not recovery!! Job({job})"
        "ジョブを再起動できません!! ジョブ({job})"
    ExitStarted { job: JobId, exit: String, run: u32 } "0216I"
        "User exit started. Job({job}) Exit({exit}) Run({run})"
        "ユーザ出口を開始しました。ジョブ({job}) 出口({exit}) 回数({run})"
    ExitEnded { job: JobId, exit: String, how: String } "0217I"
        "User exit ended. Job({job}) Exit({exit}) How({how})"
        "ユーザ出口が終了しました。ジョブ({job}) 出口({exit}) 結果({how})"
    ExitFailed { job: JobId, exit: String, how: String } "0218E"
        "User exit failed. `ftprel show {job}` has what it printed. Remove the cause; if the job waits or failed, `ftprel restart {job}` runs the exit again. Job({job}) Exit({exit}) How({how})"
        "ユーザ出口が失敗しました。出力は `ftprel show {job}` で確認できます。原因を取り除いてください。ジョブが待機または異常終了している場合は `ftprel restart {job}` で出口を再実行します。ジョブ({job}) 出口({exit}) 結果({how})"
    ExitTimedOut { job: JobId, exit: String, seconds: u64 } "0219E"
        "User exit did not end in time and was ended by force. `ftprel show {job}` has what it printed. Find out what it has done; if the job waits or failed, `ftprel restart {job}` runs the exit again. Job({job}) Exit({exit}) Seconds({seconds})"
        "ユーザ出口が制限時間内に終了しなかったため、強制終了しました。出力は `ftprel show {job}` で確認できます。出口の処理結果を確認してください。ジョブが待機または異常終了している場合は `ftprel restart {job}` で出口を再実行します。ジョブ({job}) 出口({exit}) 秒({seconds})"
    ExitSkipped { job: JobId } "0220W"
        "A post-exit was running when a node ended. Whether it did its work is unknown; it is taken for done, as `on_takeover` says. Job({job})"
        "ノードの終了時に転送後処理が実行中でした。処理結果は不明ですが、`on_takeover` の設定に従い完了として扱います。ジョブ({job})"
    PartnerIsGone { job: JobId, partner: PartnerName, path: String } "0221W"
        "A job is delivered but cannot end: its partner is not configured any more, or its transport is not loaded. Put the partner back and reload; a job in 09 then needs `ftprel restart {job}`. To end it without the partner: `ftprel release {job}` in 09, `ftprel cancel {job}` in 08. Job({job}) Partner({partner}) Path({path})"
        "ファイルは転送済みですが、相手が設定にないかトランスポートが読み込まれていないため、ジョブを終了できません。相手を設定に戻して再読込みしてください。09 のジョブはその後 `ftprel restart {job}` が必要です。相手なしで終了するには、09 では `ftprel release {job}`、08 では `ftprel cancel {job}` を実行します。ジョブ({job}) 相手({partner}) パス({path})"

    FoundPublished { job: JobId, target: String } "0301I"
        "Settled: the target is already published and is not sent again. Job({job}) Target({target})"
        "確認の結果、公開済みのため再送しません。ジョブ({job}) 対象({target})"
    PublishedAtSettle { job: JobId, target: String } "0302I"
        "Settled: the recorded publish was carried out. Job({job}) Target({target})"
        "確認の結果、記録済みの公開処理を完了しました。ジョブ({job}) 対象({target})"
    PartialAdopted { job: JobId, partial: String, bytes: u64 } "0303I"
        "Partial file of an earlier owner adopted. Job({job}) Partial({partial}) Bytes({bytes})"
        "以前の所有ノードの一時ファイルを引き継ぎました。ジョブ({job}) 一時ファイル({partial}) バイト数({bytes})"
    FreshStart { job: JobId, reason: String } "0304I"
        "Transfer starts from the first byte. Job({job}) Reason({reason})"
        "転送を先頭から開始します。ジョブ({job}) 理由({reason})"
    StagingRevoked { partner: PartnerName, epoch: Epoch } "0305I"
        "Staging folder of an earlier owner revoked. Partner({partner}) Epoch({epoch})"
        "以前の所有ノードの作業フォルダを無効にしました。相手({partner}) エポック({epoch})"
    StagingNotRevoked { partner: PartnerName, folder: String, reason: String } "0306W"
        "The staging folder of an earlier owner cannot be revoked yet; jobs go on under a fresh one. If this stays, end the dead session on the partner's server. Partner({partner}) Folder({folder}) Reason({reason})"
        "以前の所有ノードの作業フォルダを無効にできないため、新しいフォルダで続行します。解消しない場合は、相手サーバに残ったセッションを終了してください。相手({partner}) フォルダ({folder}) 理由({reason})"
    LeftoverRemoved { partner: PartnerName, path: String } "0307I"
        "Leftover file removed. Partner({partner}) Path({path})"
        "残存ファイルを削除しました。相手({partner}) パス({path})"
    LeftoverKept { partner: PartnerName, path: String, reason: String } "0308W"
        "A leftover file cannot be removed and is tried again later. Remove it on the partner if this stays. Partner({partner}) Path({path}) Reason({reason})"
        "残存ファイルを削除できません。後で再度試みます。解消しない場合は相手側で削除してください。相手({partner}) パス({path}) 理由({reason})"
    ServerBehaviour { partner: PartnerName, behaviour: String } "0310I"
        "Behaviour of the partner's server seen. Partner({partner}) Behaviour({behaviour})"
        "相手サーバの動作を確認しました。相手({partner}) 動作({behaviour})"
    PublishLost { job: JobId, target: String } "0311W"
        "A publish had not lasted when it was looked at again; what became of it is settled. Ask the partner whether it lost power or changed its disk. Job({job}) Target({target})"
        "再確認時に公開が取り消されていたため、状態を確認して処理を続けます。相手側の停電やディスク切替えの有無を確認してください。ジョブ({job}) 対象({target})"
    PartnerOut { partner: PartnerName, seconds: u64, reason: String } "0312W"
        "Partner cannot be reached; its jobs wait and go on by themselves when it answers. Look at the partner and the network if this stays. Partner({partner}) Next try in({seconds} s) Reason({reason})"
        "相手に接続できません。ジョブは待機し、回復後に自動で続行します。解消しない場合は相手とネットワークを確認してください。相手({partner}) 再試行まで({seconds} 秒) 理由({reason})"
    PartnerBack { partner: PartnerName } "0313I"
        "Partner answers again. Partner({partner})"
        "相手との通信が回復しました。相手({partner})"
    OutcomeUnknown { job: JobId, target: String } "0314W"
        "The partner no longer shows where the file was staged, as after a switch to another disk: whether it was published is unknown. It is sent anew, and may have arrived twice then. Ask the partner whether its disk was switched or restored, and whether the file was used before. Job({job}) Target({target})"
        "相手側に作業場所が見当たらず（ディスクの切替えや復元など）、公開済みかどうかを確認できません。ファイルを再送するため、二重に届く可能性があります。相手側のディスク切替えや復元の有無と、ファイルが使用済みかどうかを確認してください。ジョブ({job}) 対象({target})"
    SentAnew { job: JobId, partner: PartnerName, reason: String } "0315W"
        "The partner does not have the file as it was delivered; it is sent anew. Ask the partner what became of it if this repeats. Job({job}) Partner({partner}) Reason({reason})"
        "相手側のファイルが転送した内容と一致しないため、再送します。繰り返す場合は相手側の状況を確認してください。ジョブ({job}) 相手({partner}) 理由({reason})"
    PartnerJobOpen { job: JobId, partner: PartnerName, peer: JobId, open: String } "0316W"
        "The file is delivered, but the partner's own job is not complete; this job waits and asks again. Ask the partner's operator if this stays. Job({job}) Partner({partner}) Partner's job({peer}) Open({open})"
        "ファイルは転送済みですが、相手側のジョブが完了していません。このジョブは待機し、再度確認します。解消しない場合は相手側のオペレータに確認してください。ジョブ({job}) 相手({partner}) 相手側ジョブ({peer}) 状況({open})"
    WithdrawalUntold { job: JobId, partner: PartnerName, reason: String } "0317W"
        "The partner has not heard that the job is withdrawn; its own job may wait for it. It is told again at the next start or reload. To be done before: cancel that job there, or restart this one unless it is completed. Job({job}) Partner({partner}) Reason({reason})"
        "ジョブの取下げを相手に通知できていません。相手側のジョブが待機している可能性があります。次回の開始または再読込み時に再度通知します。それまでに処理するには、相手側で取り消すか、このジョブを (完了していなければ) 再起動してください。ジョブ({job}) 相手({partner}) 理由({reason})"
    PartnerDelays { job: JobId, partner: PartnerName, path: String, reason: String } "0318W"
        "The partner's host does not take the job, or its word, now; the job waits and asks again by itself. Remove the reason there if this stays; `ftprel show {job}` has the latest. Job({job}) Partner({partner}) Path({path}) Reason({reason})"
        "相手ホストが現在このジョブまたは通知を受け付けません。ジョブは待機し、自動で再度確認します。解消しない場合は相手側で原因を取り除いてください。最新の状況は `ftprel show {job}` で確認できます。ジョブ({job}) 相手({partner}) パス({path}) 理由({reason})"
    ToldIsGone { job: JobId, partner: PartnerName, path: String } "0319W"
        "A job is delivered, but the partner that is to be told of it is not configured any more, or its transport is not loaded; the job waits. Put that partner back and reload, or end the job without it: `ftprel cancel {job}`. Job({job}) Partner({partner}) Path({path})"
        "ファイルは転送済みですが、通知先の相手が設定にないかトランスポートが読み込まれていないため、ジョブは待機しています。通知先を設定に戻して再読込みするか、`ftprel cancel {job}` で通知なしに終了してください。ジョブ({job}) 相手({partner}) パス({path})"

    JournalFailed { reason: String } "0401E"
        "The journal failed and the host ends; nothing acknowledged is lost. Look at the shared disk, then start the host. Reason({reason})"
        "ジャーナルに障害が発生したため、ホストを終了します。受付済みの依頼は失われません。共有ディスクを確認してから開始してください。理由({reason})"
    NoMultiMountProtection { path: String } "0404W"
        "The file system of the install directory has no multi-mount protection. Switch it on with `tune2fs -O mmp` while unmounted. Path({path})"
        "インストールディレクトリのファイルシステムに多重マウント保護がありません。アンマウント中に `tune2fs -O mmp` で有効にしてください。パス({path})"
    JournalCopied { jobs: usize, milliseconds: u64 } "0406I"
        "Journal of the earlier owner copied. Jobs in flight({jobs}) Milliseconds({milliseconds})"
        "以前の所有ノードのジャーナルを複写しました。仕掛りジョブ({jobs}) ミリ秒({milliseconds})"
    HistoryPruned { jobs: u64, before: String } "0407I"
        "History pruned. Jobs({jobs}) Before({before})"
        "履歴を整理しました。ジョブ({jobs}) 対象日以前({before})"
    LogLost { lines: u64 } "0408W"
        "Lines of this log could not be written and are lost. Look at the disk of the logs folder. Lines({lines})"
        "このログの一部を書き込めず、失われました。ログフォルダのディスクを確認してください。行数({lines})"
    JournalWarning { warning: String } "0409W"
        "The journal works but should be looked at. Warning({warning})"
        "ジャーナルは動作していますが、確認が必要です。警告({warning})"

    DoorOpen { transport: String, address: String } "0501I"
        "Other hosts can come. Transport({transport}) Address({address})"
        "他ホストからの受付を開始しました。トランスポート({transport}) アドレス({address})"
    VisitorEntered { visitor: PartnerName, instance: InstanceName, epoch: Epoch, address: String } "0502I"
        "A visitor came in with a new ownership; older ones are refused from now on. Visitor({visitor}) Instance({instance}) Epoch({epoch}) Address({address})"
        "接続元が新しい所有権で接続しました。以後、古い所有権は拒否します。接続元({visitor}) インスタンス({instance}) エポック({epoch}) アドレス({address})"
    VisitorTurnedAway { address: String, cause: String, detail: String } "0503W"
        "Somebody was turned away at the door; the same from there is not told again for an hour. Compare the settings of both hosts, or find out who it is. Address({address}) Cause({cause}) Detail({detail})"
        "接続を拒否しました。同じ内容は 1 時間は記録しません。双方の設定を比較するか、接続元を調査してください。アドレス({address}) 原因({cause}) 詳細({detail})"
    VisitorUnknown { host: String, instance: InstanceName, address: String } "0504W"
        "A host that is not expected was turned away. If it may come, add it under `[listen.visitors]` and reload. Host({host}) Instance({instance}) Address({address})"
        "登録されていないホストからの接続を拒否しました。許可する場合は `[listen.visitors]` に追加して再読込みしてください。ホスト({host}) インスタンス({instance}) アドレス({address})"
    VisitorOutdated { visitor: PartnerName, instance: InstanceName, epoch: Epoch, newest: Epoch } "0505W"
        "A former owner of a visitor's instance was refused. Make sure that its old node is off; if the visitor was restored from a backup, it needs another instance name. Visitor({visitor}) Instance({instance}) Epoch({epoch}) Newest({newest})"
        "接続元の以前の所有ノードを拒否しました。旧ノードの停止を確認してください。バックアップから復元した場合は、インスタンス名の変更が必要です。接続元({visitor}) インスタンス({instance}) エポック({epoch}) 最新({newest})"
    PartnerReturned { partner: PartnerName, jobs: usize } "0506I"
        "A partner's host says that it is back; jobs that waited for it go on now. Partner({partner}) Jobs({jobs})"
        "相手ホストから復帰の通知を受けました。待機中のジョブを直ちに続行します。相手({partner}) ジョブ({jobs})"
    JobAnnounced { job: JobId, visitor: PartnerName, peer: JobId } "0507I"
        "A visitor announced a job. Job({job}) Visitor({visitor}) Visitor's job({peer})"
        "接続元からジョブの通知を受けました。ジョブ({job}) 接続元({visitor}) 接続元ジョブ({peer})"
    NotAsDelivered { job: JobId, reason: String } "0508W"
        "A file is not here as the visitor says, which sends it anew. Look who else writes there if this repeats. Job({job}) Reason({reason})"
        "ファイルが接続元の通知と一致しないため、接続元が再送します。繰り返す場合は、他の書込み元を確認してください。ジョブ({job}) 理由({reason})"
    JobWithdrawn { job: JobId, reason: String } "0509W"
        "A visitor withdrew the job that it had announced. Nothing to do here. Job({job}) Reason({reason})"
        "接続元が通知済みのジョブを取り下げました。対処は不要です。ジョブ({job}) 理由({reason})"
    VisitorOverreached { visitor: PartnerName, reason: String } "0510W"
        "A visitor asked for what it may not have and was refused; the same of it is not told again for an hour. Correct the path in its definition there, or `may` of its table and `[roots]` here. Visitor({visitor}) Reason({reason})"
        "接続元から許可されていない要求があり、拒否しました。同じ内容は 1 時間は記録しません。接続元の定義のパス、またはこちらの `may` と `[roots]` を確認してください。接続元({visitor}) 理由({reason})"
}
