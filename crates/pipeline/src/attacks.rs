//! Known attacks on what stands between agents and tools, and what stops each here.
//!
//! Read it as an index: the attack, by the name of the incident or of the class, then the type or the test
//! that stops it. `cargo xtask tidy` checks that each test named here exists.
//!
//! # On tools
//!
//! | attack | stopped by |
//! | --- | --- |
//! | rug pull: a definition changes after approval (WhatsApp MCP, MCPoison) | [`decide::Resolved`](crate::decide::Resolved) holds the pin that is called; test `a_changed_definition_is_held_back_and_never_learned` |
//! | drift between the list and the call | the pin is compared while the intent is made durable; test `every_scene_ends_as_described_and_nothing_is_left` (scene `rug-pull`) |
//! | full-schema poisoning: the payload is in an enum, a default, an annotation (CyberArk) | the pin is over the whole definition; test `every_part_of_a_definition_is_pinned` |
//! | shadowing: two tools of one name | test `one_name_for_two_definitions_serves_neither` |
//! | squatting: a name that looks like another server's tool; shadowing by text: orders about a tool that is not its own (Invariant) | test `tools_that_pass_for_anothers_or_speak_of_them_are_held_back` |
//! | a server that grows tools later | test `tools_that_come_later_wait_for_a_person` |
//! | name smuggling: a name that two readers split differently | test `server_names_split_in_one_way`, test `names_lead_to_one_thing_or_nowhere` |
//! | hidden Unicode, split words | test `hidden_characters_do_not_hide_what_they_split` |
//! | a schema that explodes or fetches | test `schemas_that_explode_are_refused`, test `references_that_lead_outside_are_refused_and_never_fetched` |
//! | puppet: a page makes the agent mail a chart (EchoLeak, GitHub MCP) | labels of the context and rules over sinks; test `every_scene_ends_as_described_and_nothing_is_left` (scene `puppet`) |
//! | a page that says where the data ends, in the client's own marks | test `nothing_inside_passes_for_a_mark_and_who_does_not_ask_gets_none` |
//!
//! # On the decision
//!
//! | attack | stopped by |
//! | --- | --- |
//! | duplicate or case-variant keys smuggled past policy (Envoy AI Gateway GHSA-4gph-2hhr-5mwg) | test `what_two_parsers_could_read_differently_is_refused`, test `what_is_no_message_is_refused_and_recorded` |
//! | a policy applied on call but not on list (Obot, gh-aw) | lists are made by the decision that judges calls; test `what_may_not_be_discovered_answers_as_unknown` |
//! | judging one call and sending another | [`Passed`](crate::Passed) owns the call, nothing can change it: `tests/fail/change_the_call_after_it_was_judged.edit` |
//! | skipping a check on one path (Langflow CVE-2026-7663) | one road: `tests/fail/skip_a_stage.edit`, `tests/fail/swap_two_stages.edit` |
//! | header and body that disagree (Kuadrant GHSA-g53w-w6mj-hrpp) | test `headers_must_say_what_the_body_says`, test `a_name_in_the_header_that_is_not_the_bodys_is_refused` |
//! | an old file or a backup loosens the rules | test `rules_that_have_a_version_never_go_back` |
//! | rules that nobody answers for: a bundle signed by a stranger, changed after it was signed, or an older one | test `what_was_signed_is_in_force_and_nothing_forged_changed_or_older`, test `two_have_to_sign_where_configuration_says_so`, test `what_stands_beside_a_bundle_unsigned_is_refused` |
//! | grants that nobody uses and nobody takes back | test `unused_and_risky_grants_are_shown_taken_away_and_given_back_by_people` |
//! | half a file of rules, without its last `forbid` | test `a_change_of_the_rules_comes_into_force_whole_while_calls_go_on` |
//! | a yes that outlives the rules it was given under | test `a_call_that_waits_does_not_outlive_the_rules_that_let_it_wait`, test `what_changes_between_the_yes_and_the_call_asks_anew` |
//! | a revoked agent comes back with the configuration | test `agents_come_and_go_with_the_configuration_and_the_revoked_stay_away` |
//! | an agent that runs away, or was taken over: stopped at once, on open calls and streams, over restarts | test `what_is_stopped_stops_at_once_and_over_a_power_failure_until_it_is_lifted`, test `stopping_an_agent_ends_its_streams_and_sessions_and_nobody_elses`, test `stopping_a_server_ends_its_calls_and_hides_it_and_no_other` |
//! | trying doors until one opens | test `probing_is_noticed_blocks_nothing_and_is_contained_and_resolved_by_people`, test `a_decoy_that_is_called_stops_its_caller_where_configuration_says_so` |
//! | an argument that chooses another path, query or header of a REST service (agentgateway CVE-2026-29791) | each is written by the grammar of its place, and the URL is read again; test `no_argument_leaves_its_place`, test `no_argument_changes_the_route_the_query_or_the_headers` |
//! | another route behind the name of an approved operation | the route is pinned; test `another_description_is_another_server_and_waits_for_a_person` |
//! | a rule that errors | a call for which any rule errors is refused; `policy::rules` differential tests |
//!
//! # On identity
//!
//! | attack | stopped by |
//! | --- | --- |
//! | speaking into somebody else's event stream, or reading a refusal there (HTTP+SSE) | test `an_event_stream_takes_messages_of_its_owner_alone` |
//! | a page that opens a WebSocket to a loopback address (cross-site WebSocket hijacking) | `Host` and `Origin` are checked on every door; test `a_websocket_is_opened_by_who_proves_who_it_is_from_a_page_we_know` |
//! | a parked call taken up by somebody else, twice, or with other content | test `a_call_that_asks_is_taken_up_once_by_its_owner_with_the_same_content` |
//! | somebody else's task by its id, or past the rules of its tool | test `in_sessions_a_task_is_its_makers_alone`, test `in_the_modern_era_a_task_is_its_makers_alone`, test `what_rules_withhold_of_a_tool_is_not_had_by_its_tasks` |
//! | hearing of what somebody else subscribed to, or hiding one's own from another | test `between_sessions_each_hears_its_own`, test `in_the_modern_era_each_stream_hears_its_own`, test `a_server_that_tells_everybody_is_not_believed_and_one_that_cannot_watch_is_said_to` |
//! | forged, expired and foreign tokens; `alg: none`; wrong types of claims (CVE-2026-25537) | test `faulty_claims_are_refused`, test `faulty_headers_are_refused`, test `malformed_serialisations_are_refused` |
//! | token passthrough | `upstream` sees [`Passed`](crate::Passed) of [`forward::Recorded`](crate::forward::Recorded), which has no credential |
//! | confused deputy: an agent acts for anybody | `agents[].for`; [`identity::Principal`] is vouched for inside `identity` only: `tests/fail/make_a_principal.rs` |
//! | DNS rebinding (CVE-2025-66414, -66416, RUSTSEC-2026-0189) | test `no_token_a_broken_one_and_a_foreign_host_are_turned_away` |
//! | reachable from the network without authentication (NeighborJack) | test `no_address_but_loopback_without_tls` |
//! | downgrade of the key exchange, harvest now and decrypt later | test `each_call_says_which_tls_it_came_over_and_the_hybrid_is_taken_wherever_it_is_known`, test `a_client_without_post_quantum_key_exchange_is_refused_where_it_is_required` |
//! | old TLS, replayed early data, a resumed session that skips the certificate | test `no_older_version_nothing_early_nothing_resumed_and_no_other_name` |
//! | a client certificate that is expired, revoked or a stranger's | test `certificates_of_clients_are_demanded_checked_recorded_and_revoked_while_it_runs` |
//! | an issuer whose users pass for another's, or for ours | test `names_of_an_issuer_become_names_here_and_none_of_them_somebody_elses`, test `issuers_that_could_pass_for_each_other_do_not_start` |
//! | a stolen token, a replayed or borrowed proof | test `a_token_that_is_bound_to_a_key_is_of_no_use_without_it`, test `each_fault_of_a_proof_is_refused` |
//! | an ID token, or a token of another endpoint, as an access token | test `a_certified_provider_vouches_for_agents_and_their_users_and_changes_its_keys` |
//! | metadata or keys at a private address, behind a redirect, without end (SSRF) | test `metadata_and_keys_that_are_not_right_are_of_no_use`, test `what_is_not_public_is_not_fetched` |
//! | keys of an issuer that cannot be asked any more | test `keys_rotate_without_a_restart_and_are_believed_until_they_are_too_old` |
//! | weak or leaked secrets in configuration | test `a_secret_in_the_file_or_a_weak_one_is_refused`, test `a_secret_others_can_read_is_refused` |
//!
//! # On the record
//!
//! | attack | stopped by |
//! | --- | --- |
//! | acting without a record: crash, kill, full disk | `upstream` takes only recorded calls: `tests/fail/send_unrecorded.edit`; test `kills_at_any_moment_lose_nothing_and_let_nothing_through_unrecorded` |
//! | hanging up to escape the record | test `a_client_that_hangs_up_is_recorded_whenever_it_does` |
//! | an answer without an outcome | test `an_outcome_that_cannot_be_recorded_is_not_an_answer` |
//! | editing, removing or forging entries | test `a_log_is_verified_with_public_keys_alone_and_damage_is_named` |
//!
//! # By servers
//!
//! | attack | stopped by |
//! | --- | --- |
//! | an answer for somebody else (CVE-2026-25536) | ids are the gateway's own per link; test `a_wrong_id_no_answer_and_a_death_fail_their_own_calls_alone` |
//! | output that is no protocol | test `lines_that_are_no_messages_are_recorded_and_skipped` |
//! | a line break that begins another message | test `a_message_in_many_lines_reaches_a_server_as_one` |
//! | a line, event or document without end | test `a_line_that_never_ends_is_dropped_and_the_next_is_read`, test `an_event_that_grows_without_end_is_given_up` |
