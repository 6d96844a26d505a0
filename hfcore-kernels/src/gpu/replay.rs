//! Running what was recorded: find its plan or make it, encode, submit.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::DeviceError;

use super::counters::Counters;
use super::plan::{Grid, Plan, Ready};
use super::profile::Profile;
use super::read::Ticket;
use super::record::Recorded;
use super::value::Place;
use super::{Gpu, Region, State};

impl Gpu {
    /// Run all that `recording` has, or this thread's, and begin to read value `read` of it.
    pub(super) fn flush(
        &self,
        state: &mut State,
        recording: Option<u64>,
        read: Option<u32>,
    ) -> Option<Ticket> {
        let (started, waited) = (Instant::now(), self.counters().submit_nanos);
        let recorded = state.recorders.take(recording, read)?;
        if recorded.script.nodes.is_empty() {
            state.recorders.reuse(recorded);
            self.collect(state);
            return None;
        }
        let ticket = match self.run(state, &recorded, read) {
            Ok(ticket) => ticket,
            Err(error) => {
                self.fail(error);
                None
            }
        };
        // Whoever still has a value of this recording that was not given a place has nothing.
        for value in &recorded.values {
            let mut place = value.place();
            if matches!(*place, Place::Recorded { .. }) {
                *place = Place::Nowhere;
            }
        }
        state.recorders.reuse(recorded);
        self.collect(state);
        let submits = self.counters().submit_nanos - waited;
        let encoding = nanos(started).saturating_sub(submits);
        Counters::add(&self.counters.encode_nanos, encoding);
        ticket
    }

    /// Take back buffers that nobody holds.
    fn collect(&self, state: &mut State) {
        let gone = self.memory.collect();
        for buffer in state.plans.forget(&gone) {
            self.memory.freed(&buffer);
        }
        // The last model is gone: what its steps were run in goes with it.
        if !gone.is_empty() && state.plans.is_empty() {
            let kept = [
                std::mem::take(&mut state.arena.by_size),
                std::mem::take(&mut state.readers.free),
                self.memory.take_free(),
            ];
            for buffer in kept.into_iter().flat_map(BTreeMap::into_values).flatten() {
                self.memory.freed(&buffer);
            }
        }
    }

    fn run(
        &self,
        state: &mut State,
        recorded: &Recorded,
        read: Option<u32>,
    ) -> Result<Option<Ticket>, DeviceError> {
        self.check()?;
        let State {
            plans,
            arena,
            readers,
            profile,
            ..
        } = state;
        if plans.find(&recorded.script) {
            Counters::add(&self.counters.replays, 1);
        } else {
            Counters::add(&self.counters.plans, 1);
            let plan = Plan::new(self, &recorded.script, arena)?;
            for buffer in plans.insert(recorded.script.clone(), plan) {
                self.memory.freed(&buffer);
            }
        }
        let Some(plan) = plans.last() else {
            return Ok(None);
        };
        if let Some(words) = &plan.words {
            let bytes = bytemuck::cast_slice(&recorded.words);
            self.queue.write_buffer(words.raw(), 0, bytes);
        }
        let mut encoder = self.encoder();
        let mut from = 0;
        for &cut in &plan.cuts {
            self.encode(
                &mut encoder,
                &plan.calls[from..cut],
                &recorded.grids,
                profile,
            );
            self.submit_commands(std::mem::replace(&mut encoder, self.encoder()));
            from = cut;
        }
        self.encode(&mut encoder, &plan.calls[from..], &recorded.grids, profile);
        let mut ticket = None;
        for (value, region) in &plan.wanted {
            let owner = &recorded.values[*value as usize];
            if read == Some(*value) {
                ticket = Some(readers.copy(self, &mut encoder, region, owner.len())?);
            }
            // One of the two who have it is the recorder.
            if owner.is_shared() {
                let held = self.memory.value(region.size)?;
                copy(&mut encoder, region, &held);
                *owner.place() = Place::Resident(held);
            }
        }
        let submission = self.submit_commands(encoder);
        if let Some(ticket) = &mut ticket {
            ticket.submitted(submission);
        }
        Ok(ticket)
    }

    pub(super) fn encoder(&self) -> wgpu::CommandEncoder {
        let description = wgpu::CommandEncoderDescriptor::default();
        self.device.create_command_encoder(&description)
    }

    pub(super) fn submit_commands(&self, encoder: wgpu::CommandEncoder) -> wgpu::SubmissionIndex {
        // What is on its way is there first.
        self.send_uploads();
        Counters::add(&self.counters.submits, 1);
        let commands = encoder.finish();
        let started = Instant::now();
        let submission = self.queue.submit([commands]);
        Counters::add(&self.counters.submit_nanos, nanos(started));
        submission
    }

    fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        calls: &[Ready],
        grids: &[[u32; 3]],
        profile: &mut Option<Profile>,
    ) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        if let Some(profile) = profile {
            profile.begin(&mut pass);
        }
        let mut dispatches = 0;
        for call in calls {
            let [x, y, z] = match call.grid {
                Grid::Fixed(grid) => grid,
                Grid::OfStep(index) => grids[index as usize],
            };
            if x == 0 || y == 0 || z == 0 {
                continue;
            }
            pass.set_pipeline(call.pipeline.raw());
            pass.set_bind_group(0, &call.bind_group, &[]);
            if self.caps.immediates && call.pipeline.has_params() {
                pass.set_immediates(0, &call.params);
            }
            pass.dispatch_workgroups(x, y, z);
            if let Some(profile) = profile {
                profile.after(&mut pass, &call.pipeline, [x, y, z]);
            }
            dispatches += 1;
        }
        Counters::add(&self.counters.dispatches, dispatches);
    }
}

/// Since then.
fn nanos(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Copy all of `from`.
pub(super) fn copy(encoder: &mut wgpu::CommandEncoder, from: &Region, to: &Region) {
    encoder.copy_buffer_to_buffer(
        from.buffer.raw(),
        from.offset,
        to.buffer.raw(),
        to.offset,
        from.size,
    );
}
