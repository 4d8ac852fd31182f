package compat

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

func TestNodes(t *testing.T) {
	client := connect(t)
	nodes := client.Nodes()
	node := only(t, client)
	hold(t, node.Status == "ready" && node.SchedulingEligibility == "eligible" && node.Drivers["raw_exec"].Healthy, "node: %+v", node)
	found, _, err := nodes.PrefixList(node.ID[:4])
	must(t, err)
	hold(t, len(found) == 1, "by prefix: %+v", found)
	_, _, err = nodes.PrefixList("zz")
	refused(t, err, "500")
	found, _, err = nodes.List(&api.QueryOptions{Filter: `Status == "ready"`, Params: map[string]string{"resources": "true", "os": "true"}})
	must(t, err)
	hold(t, len(found) == 1 && found[0].NodeResources.Memory.MemoryMB > 0, "with resources: %+v", found)
	info, meta, err := nodes.Info(node.ID, nil)
	must(t, err)
	hold(t, info.Attributes["kernel.name"] == "linux" && len(info.Events) > 0 && meta.LastIndex > 0, "info: %+v", info)
	_, _, err = nodes.Info("ffffffff-aaaa-bbbb-cccc-dddddddddddd", nil)
	refused(t, err, "404 (node not found)")

	off, err := nodes.ToggleEligibility(node.ID, false, nil)
	must(t, err)
	hold(t, off.NodeModifyIndex > 0, "eligibility: %+v", off)
	hold(t, only(t, client).SchedulingEligibility == "ineligible", "still eligible")
	on, err := nodes.ToggleEligibility(node.ID, true, nil)
	must(t, err)
	hold(t, on.NodeModifyIndex > off.NodeModifyIndex, "eligibility: %+v", on)

	register(t, client, sleeper("on-node"))
	running(t, client, "on-node", 1)
	allocations, _, err := nodes.Allocations(node.ID, nil)
	must(t, err)
	hold(t, len(allocations) >= 1 && allocations[0].Job != nil, "allocations: %+v", allocations)
	_, _, err = nodes.ForceEvaluate(node.ID, nil)
	must(t, err)
	stats, err := nodes.Stats(node.ID, nil)
	must(t, err)
	hold(t, stats.Memory.Total > 0 && len(stats.CPU) > 0, "stats: %+v", stats)
	must(t, nodes.GC(node.ID, nil))
}

func TestNodesAreDrained(t *testing.T) {
	client := connect(t)
	nodes := client.Nodes()
	node := only(t, client)
	spec := &api.DrainSpec{Deadline: time.Hour, IgnoreSystemJobs: true}
	held := service("held", "exec sleep 600")
	held.Type, held.TaskGroups[0].Update = to("batch"), nil
	register(t, client, held)
	running(t, client, "held", 1)
	set, err := nodes.UpdateDrainOpts(node.ID, &api.DrainOptions{DrainSpec: spec, Meta: map[string]string{"message": "why"}}, nil)
	must(t, err)
	hold(t, set.NodeModifyIndex > 0 && set.LastIndex == set.NodeModifyIndex, "drain: %+v", set)
	info, _, err := nodes.Info(node.ID, nil)
	must(t, err)
	hold(t, info.Drain && info.DrainStrategy.Deadline == time.Hour && info.DrainStrategy.IgnoreSystemJobs, "strategy: %+v", info.DrainStrategy)
	hold(t, info.DrainStrategy.ForceDeadline.After(time.Now()) && info.SchedulingEligibility == "ineligible", "drained: %+v", info)
	hold(t, info.LastDrain.Status == api.DrainStatusDraining && info.LastDrain.Meta["message"] == "why", "last: %+v", info.LastDrain)
	_, err = nodes.ToggleEligibility(node.ID, true, nil)
	refused(t, err, "while it is draining")

	ended, err := nodes.UpdateDrain(node.ID, nil, true, nil)
	must(t, err)
	hold(t, ended.NodeModifyIndex > set.NodeModifyIndex && len(ended.EvalIDs) > 0, "cancelled: %+v", ended)
	info, _, err = nodes.Info(node.ID, nil)
	must(t, err)
	hold(t, info.LastDrain.Status == api.DrainStatusCanceled && info.SchedulingEligibility == "eligible", "cancelled: %+v", info.LastDrain)
	_, err = nodes.UpdateDrain("ffffffff-aaaa-bbbb-cccc-dddddddddddd", spec, false, nil)
	refused(t, err, "404")

	// Everything has to go at once; the monitor ends when it has.
	register(t, client, sleeper("goes"))
	running(t, client, "goes", 1)
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	set, err = nodes.UpdateDrain(node.ID, &api.DrainSpec{Deadline: -1}, false, nil)
	must(t, err)
	var told []string
	for message := range nodes.MonitorDrain(ctx, node.ID, set.LastIndex, false) {
		told = append(told, message.Message)
	}
	must(t, ctx.Err())
	hold(t, strings.Contains(strings.Join(told, "\n"), "Drain complete for node "+node.ID), "monitor: %v", told)
	info, _, err = nodes.Info(node.ID, nil)
	must(t, err)
	hold(t, info.LastDrain.Status == api.DrainStatusComplete && !info.Drain, "complete: %+v", info.LastDrain)
	_, err = nodes.ToggleEligibility(node.ID, true, nil)
	must(t, err)
	for _, job := range []string{"goes", "held"} {
		_, _, err = client.Jobs().Deregister(job, true, nil)
		must(t, err)
	}
}

func TestNodeMetadata(t *testing.T) {
	client := connect(t)
	node := only(t, client)
	meta := client.Nodes().Meta()
	gold := "gold"
	changed, err := meta.Apply(&api.NodeMetaApplyRequest{NodeID: node.ID, Meta: map[string]*string{"tier": &gold}}, nil)
	must(t, err)
	hold(t, changed.Meta["tier"] == "gold" && *changed.Dynamic["tier"] == "gold" && changed.Static["tier"] == "", "changed: %+v", changed)
	until(t, "servers know it", func() error {
		info, _, err := client.Nodes().Info(node.ID, nil)
		if err == nil && info.Meta["tier"] != "gold" {
			err = fmt.Errorf("meta: %v", info.Meta)
		}
		return err
	})
	_, err = meta.Apply(&api.NodeMetaApplyRequest{Meta: map[string]*string{"tier": nil}}, nil)
	must(t, err)
	read, err := meta.Read(node.ID, nil)
	must(t, err)
	_, there := read.Meta["tier"]
	hold(t, !there && read.Dynamic["tier"] == nil, "read: %+v", read)
	_, err = meta.Apply(&api.NodeMetaApplyRequest{}, nil)
	refused(t, err, "400 (missing required Meta object)")
}

func TestAllocationsFromListToStop(t *testing.T) {
	client := connect(t)
	allocations := client.Allocations()
	register(t, client, sleeper("allocated"))
	allocation := running(t, client, "allocated", 1)
	hold(t, allocation.Job != nil && allocation.AllocatedResources != nil && allocation.TaskStates["t"].State == "running", "read: %+v", allocation)
	listed, _, err := allocations.List(&api.QueryOptions{Filter: `JobID == "allocated"`})
	must(t, err)
	hold(t, len(listed) == 1 && listed[0].ID == allocation.ID, "list: %+v", listed)
	listed, _, err = allocations.PrefixList(allocation.ID[:8])
	must(t, err)
	hold(t, len(listed) == 1, "by prefix: %+v", listed)
	_, _, err = allocations.Info(allocation.ID[:8], nil)
	refused(t, err, "500 (alloc lookup failed: index error: UUID must be 36 characters)")
	until(t, "there is usage", func() error {
		usage, err := allocations.Stats(allocation, nil)
		if err == nil && usage.Tasks["t"] == nil {
			err = fmt.Errorf("usage: %+v", usage)
		}
		return err
	})
	checks, err := allocations.Checks(allocation.ID, nil)
	must(t, err)
	hold(t, len(checks) == 0, "checks: %+v", checks)
	services, _, err := allocations.Services(allocation.ID, nil)
	must(t, err)
	hold(t, len(services) == 0, "services: %+v", services)

	must(t, allocations.Restart(allocation, "t", nil))
	restarted := func(times uint64) {
		until(t, fmt.Sprintf("restart %d", times), func() error {
			now, _, err := allocations.Info(allocation.ID, nil)
			if err == nil && (now.TaskStates["t"].Restarts < times || now.TaskStates["t"].State != "running") {
				err = fmt.Errorf("task: %+v", now.TaskStates["t"])
			}
			return err
		})
	}
	restarted(1)
	must(t, allocations.RestartAllTasks(allocation, nil))
	restarted(2)
	refused(t, allocations.Restart(allocation, "nobody", nil), "Could not find task runner for task: nobody")
	must(t, allocations.Signal(allocation, nil, "t", "SIGCONT"))
	hold(t, allocations.Signal(allocation, nil, "t", "SIGFOO") != nil, "SIGFOO is a signal")

	stopped, err := allocations.Stop(allocation, nil)
	must(t, err)
	hold(t, len(stopped.EvalID) == 36, "stopped: %+v", stopped)
	until(t, "another one replaces it", func() error {
		now, _, err := allocations.Info(allocation.ID, nil)
		if err == nil && now.ClientStatus != "complete" {
			err = fmt.Errorf("it is %s", now.ClientStatus)
		}
		return err
	})
	running(t, client, "allocated", 1)
	must(t, allocations.GC(allocation, nil))
	_, _, err = client.AllocFS().List(allocation, "/", nil)
	hold(t, err != nil, "the files are still there")
}

func TestCommandsRunBesideATask(t *testing.T) {
	client := connect(t)
	register(t, client, sleeper("executed"))
	allocation := running(t, client, "executed", 1)
	execute := func(input string, command ...string) (int, string, string, error) {
		var out, trouble bytes.Buffer
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		defer cancel()
		code, err := client.Allocations().Exec(ctx, allocation, "t", false, command, strings.NewReader(input), &out, &trouble, nil, nil)
		return code, out.String(), trouble.String(), err
	}
	code, out, trouble, err := execute("", "/bin/sh", "-c", "echo out; echo err >&2; exit 3")
	must(t, err)
	hold(t, code == 3 && out == "out\n" && trouble == "err\n", "code %d, out %q, err %q", code, out, trouble)
	long := strings.Repeat("all that is written comes back\n", 20_000)
	code, out, _, err = execute(long, "/bin/cat")
	must(t, err)
	hold(t, code == 0 && out == long, "code %d, %d of %d bytes", code, len(out), len(long))
	code, _, _, err = execute("", "/no/such/command")
	hold(t, err != nil || code != 0, "a command that is not there succeeded")
	var sink bytes.Buffer
	_, err = client.Allocations().Exec(context.Background(), allocation, "nobody", false, []string{"/bin/true"}, strings.NewReader(""), &sink, &sink, nil, nil)
	refused(t, err, "task not found")
}

func TestFilesAndLogs(t *testing.T) {
	client := connect(t)
	files := client.AllocFS()
	register(t, client, service("filed", "echo 0123456789; echo trouble >&2; while [ ! -e \"$NOMAD_ALLOC_DIR/data/go\" ]; do sleep 0.05; done; echo more; exec sleep 3600"))
	allocation := running(t, client, "filed", 1)
	until(t, "the output is there", func() error {
		info, _, err := files.Stat(allocation, "alloc/logs/t.stdout.0", nil)
		if err == nil && info.Size < 11 {
			err = fmt.Errorf("%+v", info)
		}
		return err
	})
	listed, _, err := files.List(allocation, "/", nil)
	must(t, err)
	names := map[string]bool{}
	for _, file := range listed {
		names[file.Name] = file.IsDir
	}
	hold(t, names["alloc"] && names["t"], "list: %+v", listed)
	text := func(reader io.ReadCloser, err error) string {
		t.Helper()
		must(t, err)
		defer reader.Close()
		bytes, err := io.ReadAll(reader)
		must(t, err)
		return string(bytes)
	}
	hold(t, text(files.Cat(allocation, "alloc/logs/t.stdout.0", nil)) == "0123456789\n", "cat")
	hold(t, text(files.ReadAt(allocation, "alloc/logs/t.stdout.0", 2, 3, nil)) == "234", "read at")
	_, _, err = files.Stat(allocation, "../../../etc/passwd", nil)
	hold(t, err != nil, "a path left the allocation")
	_, _, err = files.List(allocation, "nothing", nil)
	refused(t, err, "404")

	follow := func(frames <-chan *api.StreamFrame, failures <-chan error, wanted string, between func()) {
		t.Helper()
		var seen strings.Builder
		for {
			select {
			case frame, open := <-frames:
				if !open {
					t.Fatalf("the stream ended after %q", seen.String())
				}
				seen.Write(frame.Data)
				if between != nil && seen.String() == "0123456789\n" {
					between()
					between = nil
				}
				if seen.String() == wanted {
					return
				}
			case err := <-failures:
				t.Fatalf("after %q: %v", seen.String(), err)
			}
		}
	}
	cancel := make(chan struct{})
	defer close(cancel)
	frames, failures := files.Stream(allocation, "alloc/logs/t.stdout.0", "start", 4, cancel, nil)
	follow(frames, failures, "456789\n", nil)
	frames, failures = files.Logs(allocation, false, "t", "stderr", "start", 0, cancel, nil)
	follow(frames, failures, "trouble\n", nil)
	frames, failures = files.Logs(allocation, true, "t", "stdout", "start", 0, cancel, nil)
	follow(frames, failures, "0123456789\nmore\n", func() {
		var sink bytes.Buffer
		code, err := client.Allocations().Exec(context.Background(), allocation, "t", false, []string{"/bin/sh", "-c", "touch $NOMAD_ALLOC_DIR/data/go"}, strings.NewReader(""), &sink, &sink, nil, nil)
		must(t, err)
		hold(t, code == 0, "touch: %d %s", code, sink.String())
	})
	frames, failures = files.Logs(allocation, false, "t", "stdout", "end", 5, cancel, nil)
	follow(frames, failures, "more\n", nil)
	_, failures = files.Logs(allocation, false, "nobody", "stdout", "start", 0, cancel, nil)
	refused(t, <-failures, "nobody")
}
