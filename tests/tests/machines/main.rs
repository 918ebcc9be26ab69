//! Every test that needs machines. `cargo test -p tare-tests --test machines -- NAME` runs those whose names contain
//! `NAME`.

mod baked;
mod boot;
mod bundles;
mod configuration;
mod console;
mod control;
mod devices;
mod disks;
mod docker;
mod engine;
mod faults;
mod further_disks;
mod generations;
mod idle;
mod image;
mod isolation;
mod kernel;
mod leaks;
mod logs;
mod network;
mod secrets;
mod services;
mod shutdown;
mod small;
mod state;
mod storage;
mod stress;
mod user_data;
mod users;
mod watchdog;

use std::process::ExitCode;

use tare_tests::suite::{self, Test};

/// Its approximate duration in seconds, its image, and the test.
macro_rules! test {
    ($seconds:literal, $image:ident, $run:path) => {
        Test {
            name: stringify!($run),
            seconds: $seconds,
            ignored: false,
            image: tare_tests::$image,
            run: $run,
        }
    };
}

/// A test that takes very long.
macro_rules! long {
    ($seconds:literal, $image:ident, $run:path) => {
        Test {
            ignored: true,
            ..test!($seconds, $image, $run)
        }
    };
}

const TESTS: &[Test] = &[
    test!(
        120,
        image_with_baked_app,
        baked::an_app_runs_without_a_registry
    ),
    test!(60, image, boot::through_firmware),
    test!(70, image, boot::through_a_bios),
    test!(40, image, boot::kernel_started_directly),
    test!(60, image, bundles::run_under_other_runtimes),
    test!(60, image, configuration::is_applied_at_once),
    test!(10, image, console::trouble_ends_every_wait),
    test!(
        10,
        image,
        console::unexpected_trouble_on_the_console_fails_the_test
    ),
    test!(90, image, control::the_command_and_its_socket),
    test!(40, image, control::others_may_see_the_status),
    test!(20, image, control::figures_for_prometheus),
    test!(20, image, devices::without_a_network_in_1970),
    test!(50, image, devices::with_a_network_that_is_silent_in_2038),
    test!(120, image, devices::devices_come_and_go),
    test!(20, image, disks::nvme),
    test!(20, image, disks::ahci),
    test!(20, image, disks::virtio_scsi),
    test!(20, image, disks::usb),
    test!(20, image, disks::another_with_the_same_image),
    test!(250, image, docker::paths_and_devices),
    test!(180, image, docker::images_survive_power_cuts),
    long!(1500, image, docker::images_survive_twenty_power_cuts),
    test!(290, image, docker::apps_are_independent),
    test!(290, image, docker::networks_builds_and_sessions),
    test!(200, image, docker::jobs::run_at_their_times),
    test!(200, image, docker::networks::late_ones),
    test!(180, image, docker::programs::platforms::run_what_is_in_them),
    test!(360, image, docker::programs::servers::do_their_work),
    test!(290, image, docker::registries::of_every_kind),
    long!(300, image, docker::thirty_sessions),
    test!(150, image, engine::restarts_without_its_containers),
    test!(
        60,
        image,
        engine::a_power_cut_while_a_container_starts_leaves_its_port_free
    ),
    test!(60, image, faults::a_killed_service_comes_back),
    test!(20, image, faults::a_changed_system_does_not_boot),
    test!(
        180,
        image,
        further_disks::are_formatted_mounted_grown_and_kept
    ),
    test!(120, image, generations::are_confirmed_or_taken_back),
    test!(
        330,
        image,
        generations::with_which_a_machine_does_not_come_up_are_set_aside
    ),
    test!(60, image, generations::survive_power_cuts),
    long!(300, image, generations::survive_twenty_power_cuts),
    test!(130, image, idle::pid_1_sleeps),
    test!(
        1,
        image,
        image::the_manifest_names_packages_with_version_and_hash
    ),
    test!(1, image, image::every_mitigation_is_named),
    test!(180, image, isolation::a_greedy_container_harms_only_itself),
    test!(
        120,
        image_with_test_services,
        isolation::services::a_greedy_service_harms_only_itself
    ),
    test!(260, image, kernel::has_what_containers_ask_for),
    test!(60, image, leaks::nothing_is_left_of_containers),
    test!(50, image, leaks::nothing_is_left_of_restarts),
    test!(50, image, leaks::nothing_is_left_of_changes),
    long!(300, image, leaks::nothing_is_left_of_a_thousand_changes),
    long!(4800, image, leaks::nothing_is_left_of_a_thousand_containers),
    long!(1200, image, leaks::nothing_is_left_of_a_thousand_restarts),
    long!(1800, image, leaks::a_hundred_reboots),
    test!(60, image, logs::crash::the_kernels_last_words_are_kept),
    test!(90, image, logs::forward::a_receiver_gets_everything),
    test!(180, image, logs::every_line_is_kept_once),
    test!(20, image, network::addresses_of_user_data),
    test!(20, image, network::cards_of_other_kinds),
    test!(
        60,
        image,
        services::engine::the_engine_starts_when_docker_is_used
    ),
    test!(
        40,
        image_with_test_services,
        services::engine::the_engine_starts_when_apps_need_it
    ),
    test!(
        180,
        image_with_test_services,
        services::live_as_they_are_described
    ),
    test!(
        20,
        image_with_test_services,
        services::overrides::is_named_and_left_out
    ),
    test!(30, image, services::overrides::of_the_page_is_in_force),
    test!(
        20,
        image_with_test_services,
        services::overrides::a_machine_without_a_log_goes_on
    ),
    test!(
        100,
        image_with_test_services,
        services::shown::live_as_the_page_says
    ),
    test!(
        60,
        image_with_test_services,
        services::stubborn::are_killed_beside_each_other_each_after_its_grace
    ),
    test!(
        120,
        image,
        shutdown::services_stop_in_reverse_order_however_it_is_asked_for
    ),
    test!(
        150,
        image,
        shutdown::a_disk_that_takes_no_writes_does_not_keep_the_machine_on
    ),
    test!(60, image, small::lives_in_256_mebibytes),
    test!(
        90,
        image,
        state::survives_a_reboot_and_the_loss_of_the_user_data
    ),
    test!(
        90,
        image,
        state::a_disk_that_fails_every_write_leaves_the_machine_up
    ),
    test!(
        120,
        image,
        storage::damage_is_repaired_and_strangers_are_left_alone
    ),
    test!(180, image, storage::a_full_disk_is_freed_after_a_reboot),
    test!(
        60,
        image,
        storage::a_check_without_end_leaves_console_and_network
    ),
    test!(
        200,
        image_with_test_services,
        stress::loops::cost_next_to_nothing
    ),
    test!(
        60,
        image_with_test_services,
        stress::many::start_beside_each_other
    ),
    test!(
        240,
        image_with_test_services,
        stress::pid_1_endures_what_others_do
    ),
    test!(
        20,
        image_with_test_services,
        stress::panic::that_the_kernel_finds_reboots_the_machine
    ),
    test!(
        20,
        image_with_test_services,
        stress::panic::is_logged_and_reboots_the_machine
    ),
    test!(90, image, secrets::by_reference),
    test!(20, image, user_data::from_a_cd),
    test!(
        20,
        image,
        user_data::from_a_disk_and_the_hypervisor_which_wins
    ),
    test!(20, image, user_data::that_is_refused),
    test!(20, image, user_data::that_breaks_ssh),
    test!(120, image, users::log_in_with_their_own_rights),
    test!(70, image, watchdog::a_machine_whose_pid_1_hangs_is_reset),
];

fn main() -> ExitCode {
    suite::main(TESTS)
}
