// Package compat drives an agent with Nomad's own API client, as programs of its users do.
//
// The agent's address comes from NOMAD_ADDR; tests/tests/compat.rs starts one and runs this package. Every call of the
// client that belongs to an endpoint of this build is made at least once.
package compat

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

// deadline is how long anything may take; far beyond what it takes on a loaded machine.
const deadline = 60 * time.Second

// connect gives a client of the agent under test.
func connect(t *testing.T) *api.Client {
	t.Helper()
	if os.Getenv("NOMAD_ADDR") == "" {
		t.Fatal("NOMAD_ADDR must name the agent under test")
	}
	client, err := api.NewClient(api.DefaultConfig())
	must(t, err)
	t.Cleanup(client.Close)
	return client
}

// must ends the test when there is an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hold ends the test when what is expected does not hold.
func hold(t *testing.T, expected bool, format string, values ...any) {
	t.Helper()
	if !expected {
		t.Fatalf(format, values...)
	}
}

// refused ends the test unless there is an error that tells this.
func refused(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, though one with %q was expected", text)
	}
	if !strings.Contains(err.Error(), text) {
		t.Fatalf("the error is %q, though one with %q was expected", err, text)
	}
}

// until looks until there is no error; the last one is told when the time is over.
func until(t *testing.T, what string, look func() error) {
	t.Helper()
	end := time.Now().Add(deadline)
	for {
		err := look()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v; last: %v", what, deadline, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func to[T any](value T) *T { return &value }

// service is a job that runs a shell script.
func service(id, script string) *api.Job {
	return &api.Job{
		ID: to(id), Name: to(id), Type: to("service"), Datacenters: []string{"*"},
		TaskGroups: []*api.TaskGroup{{
			Name: to("g"), Count: to(1),
			RestartPolicy: &api.RestartPolicy{Delay: to(time.Second)},
			Update:        &api.UpdateStrategy{MinHealthyTime: to(10 * time.Millisecond), HealthyDeadline: to(30 * time.Second), ProgressDeadline: to(time.Minute)},
			Tasks: []*api.Task{{
				Name: "t", Driver: "raw_exec", KillTimeout: to(time.Second),
				Config:    map[string]any{"command": "/bin/sh", "args": []string{"-c", script}},
				Resources: &api.Resources{CPU: to(20), MemoryMB: to(20)},
			}},
		}},
	}
}

// sleeper is a service that says hello and sleeps.
func sleeper(id string) *api.Job {
	return service(id, "echo hello; echo trouble >&2; exec sleep 3600")
}

// register registers a job that is purged at the end of the test.
func register(t *testing.T, client *api.Client, job *api.Job) *api.JobRegisterResponse {
	t.Helper()
	done, _, err := client.Jobs().Register(job, nil)
	must(t, err)
	t.Cleanup(func() { client.Jobs().Deregister(*job.ID, true, nil) })
	return done
}

// running waits until a job has this many running allocations and gives the first.
func running(t *testing.T, client *api.Client, id string, count int) *api.Allocation {
	t.Helper()
	var found *api.Allocation
	until(t, id+" runs", func() error {
		stubs, _, err := client.Jobs().Allocations(id, false, nil)
		if err != nil {
			return err
		}
		alive := 0
		for _, stub := range stubs {
			if stub.ClientStatus == "running" && stub.DesiredStatus == "run" {
				alive++
				if found, _, err = client.Allocations().Info(stub.ID, nil); err != nil {
					return err
				}
			}
		}
		if alive != count {
			return fmt.Errorf("%d of %d run: %+v", alive, count, stubs)
		}
		return nil
	})
	return found
}

// only gives the one node of a development agent.
func only(t *testing.T, client *api.Client) *api.NodeListStub {
	t.Helper()
	nodes, _, err := client.Nodes().List(nil)
	must(t, err)
	hold(t, len(nodes) == 1, "%d nodes", len(nodes))
	return nodes[0]
}
