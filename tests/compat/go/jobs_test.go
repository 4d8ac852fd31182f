package compat

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

const source = `variable "count" {
  type    = number
  default = 1
}

job "written" {
  group "g" {
    count = var.count

    task "t" {
      driver = "raw_exec"

      config {
        command = "/bin/sleep"
        args    = ["3600"]
      }
    }
  }
}
`

func TestJobFilesAreParsed(t *testing.T) {
	jobs := connect(t).Jobs()
	plain, err := jobs.ParseHCL(source, false)
	must(t, err)
	hold(t, *plain.ID == "written" && plain.Type == nil && *plain.TaskGroups[0].Count == 1, "parsed: %+v", plain)
	full, err := jobs.ParseHCL(source, true)
	must(t, err)
	hold(t, *full.Type == "service" && *full.Priority == 50 && *full.TaskGroups[0].RestartPolicy.Attempts == 2, "with defaults: %+v", full)
	counted, err := jobs.ParseHCLOpts(&api.JobsParseRequest{JobHCL: source, Variables: "count = 4\n"})
	must(t, err)
	hold(t, *counted.TaskGroups[0].Count == 4, "with variables: %+v", counted)
	_, err = jobs.ParseHCL("job \"x\" {\n  group \"g\" {\n    coutn = 1\n  }\n}\n", false)
	refused(t, err, "input.hcl:3,5-10")
	refused(t, err, "coutn")
}

func TestJobsAreValidatedAndRefused(t *testing.T) {
	jobs := connect(t).Jobs()
	done, _, err := jobs.Validate(sleeper("valid"), nil)
	must(t, err)
	hold(t, done.DriverConfigValidated && done.Error == "" && len(done.ValidationErrors) == 0, "valid: %+v", done)
	wrong, _, err := jobs.Validate(&api.Job{ID: to("x"), Type: to("daemon")}, nil)
	must(t, err)
	hold(t, len(wrong.ValidationErrors) == 2 && strings.Contains(wrong.Error, "Invalid job type"), "invalid: %+v", wrong)
	_, _, err = jobs.Register(&api.Job{ID: to("x")}, nil)
	refused(t, err, "Missing job task groups")
	_, _, err = jobs.Info("nobody", nil)
	refused(t, err, "404 (job not found)")
	_, _, err = jobs.Summary("nobody", nil)
	refused(t, err, "404 (job not found)")
	_, _, err = jobs.Dispatch("nobody", nil, nil, "", nil)
	hold(t, err != nil, "a job that is not there was dispatched")
	_, _, err = jobs.PeriodicForce("nobody", nil)
	hold(t, err != nil, "a job that is not there was forced")
}

func TestAJobFromItsFirstVersionToItsPurge(t *testing.T) {
	client := connect(t)
	jobs := client.Jobs()
	id := "life/of-a-job"
	planned, _, err := jobs.Plan(sleeper(id), true, nil)
	must(t, err)
	hold(t, planned.Diff.Type == "Added" && planned.Annotations.DesiredTGUpdates["g"].Place == 1 && planned.JobModifyIndex == 0, "plan: %+v", planned)

	job := sleeper(id)
	done, meta, err := jobs.RegisterOpts(job, &api.RegisterOptions{Submission: &api.JobSubmission{Source: "job {}", Format: "hcl2"}}, nil)
	must(t, err)
	t.Cleanup(func() { jobs.Deregister(id, true, nil) })
	hold(t, done.EvalID != "" && done.JobModifyIndex > 0 && meta.LastIndex > 0, "registered: %+v %+v", done, meta)
	running(t, client, id, 1)

	_, _, err = jobs.EnforceRegister(sleeper(id), done.JobModifyIndex+100, nil)
	refused(t, err, "Enforcing job modify index")
	info, read, err := jobs.Info(id, nil)
	must(t, err)
	hold(t, *info.ID == id && *info.Version == 0 && read.LastIndex > 0 && read.KnownLeader, "read: %+v %+v", info, read)
	_, _, err = jobs.EnforceRegister(info, *info.JobModifyIndex, nil)
	must(t, err)

	changed := sleeper(id)
	changed.Meta = map[string]string{"tier": "gold"}
	changed.TaskGroups[0].Count = to(2)
	planned, _, err = jobs.PlanOpts(changed, &api.PlanOptions{Diff: true}, nil)
	must(t, err)
	hold(t, planned.Diff.Type == "Edited" && planned.JobModifyIndex > 0 && planned.Annotations != nil, "plan: %+v", planned)
	_, _, err = jobs.Register(changed, nil)
	must(t, err)
	until(t, "version 1 is deployed", func() error {
		latest, _, err := jobs.LatestDeployment(id, nil)
		if err == nil && (latest.JobVersion != 1 || latest.Status != "successful") {
			err = fmt.Errorf("deployment: %+v", latest)
		}
		return err
	})
	running(t, client, id, 2)

	versions, diffs, _, err := jobs.Versions(id, true, nil)
	must(t, err)
	hold(t, len(versions) == 2 && len(diffs) == 1 && *versions[0].Version == 1, "%d versions, %d diffs", len(versions), len(diffs))
	_, diffs, _, err = jobs.VersionsOpts(id, &api.VersionsOptions{Diffs: true, DiffVersion: to(uint64(0))}, nil)
	must(t, err)
	hold(t, len(diffs) > 0, "no diffs against version 0")
	submitted, _, err := jobs.Submission(id, 0, nil)
	must(t, err)
	hold(t, submitted.Source == "job {}" && submitted.Format == "hcl2", "submission: %+v", submitted)
	_, _, err = jobs.Submission(id, 77, nil)
	refused(t, err, "404 (job source not found)")

	summary, _, err := jobs.Summary(id, nil)
	must(t, err)
	hold(t, summary.JobID == id && summary.Summary["g"].Running == 2, "summary: %+v", summary)
	evaluations, _, err := jobs.Evaluations(id, nil)
	must(t, err)
	hold(t, len(evaluations) >= 2 && evaluations[0].CreateIndex >= evaluations[1].CreateIndex, "evaluations: %+v", evaluations)
	deployments, _, err := jobs.Deployments(id, true, nil)
	must(t, err)
	hold(t, len(deployments) >= 1, "no deployments")
	latest, _, err := jobs.LatestDeployment(id, nil)
	must(t, err)
	hold(t, latest != nil && latest.JobID == id && latest.JobVersion == 1, "latest: %+v", latest)
	none, _, err := jobs.LatestDeployment("nobody", nil)
	must(t, err)
	hold(t, none == nil, "a deployment of nobody: %+v", none)

	evaluation, _, err := jobs.ForceEvaluate(id, nil)
	must(t, err)
	hold(t, len(evaluation) == 36, "evaluation %q", evaluation)
	evaluation, _, err = jobs.EvaluateWithOpts(id, api.EvalOptions{ForceReschedule: true}, nil)
	must(t, err)
	hold(t, len(evaluation) == 36, "evaluation %q", evaluation)

	until(t, "the deployment ends, so that scaling is allowed", func() error {
		_, _, err := jobs.Scale(id, "g", to(3), "more", false, map[string]any{"why": "test"}, nil)
		return err
	})
	running(t, client, id, 3)
	_, _, err = jobs.Scale(id, "nobody", to(3), "", false, nil, nil)
	refused(t, err, "400")
	status, _, err := jobs.ScaleStatus(id, nil)
	must(t, err)
	hold(t, status.TaskGroups["g"].Desired == 3 && len(status.TaskGroups["g"].Events) == 1 && status.TaskGroups["g"].Events[0].Message == "more", "scale: %+v", status)

	_, err = jobs.TagVersion(id, 0, "golden", "the first one", nil)
	must(t, err)
	tagged, _, err := jobs.VersionByTag(id, "golden", nil)
	must(t, err)
	hold(t, *tagged.Version == 0 && tagged.VersionTag.Description == "the first one", "tagged: %+v", tagged)
	_, err = jobs.UntagVersion(id, "golden", nil)
	must(t, err)
	_, _, err = jobs.VersionByTag(id, "golden", nil)
	hold(t, err != nil, "the tag is still there")
	_, _, err = jobs.Stable(id, 0, true, nil)
	must(t, err)
	until(t, "version 0 is stable", func() error {
		versions, _, _, err := jobs.Versions(id, false, nil)
		if err == nil && !*versions[len(versions)-1].Stable {
			t.Fatal("version 0 is not stable")
		}
		return err
	})
	_, _, err = jobs.Revert(id, 0, to(uint64(99)), nil, "", "")
	hold(t, err != nil, "reverted in spite of another version")
	reverted, _, err := jobs.Revert(id, 0, nil, nil, "", "")
	must(t, err)
	hold(t, reverted.EvalID != "", "reverted: %+v", reverted)
	running(t, client, id, 1)
	services, _, err := jobs.Services(id, nil)
	must(t, err)
	hold(t, len(services) == 0, "services: %+v", services)

	evaluation, _, err = jobs.Deregister(id, false, nil)
	must(t, err)
	hold(t, len(evaluation) == 36, "evaluation %q", evaluation)
	running(t, client, id, 0)
	stopped, _, err := jobs.Info(id, nil)
	must(t, err)
	hold(t, *stopped.Stop, "not stopped")
	_, _, err = jobs.DeregisterOpts(id, &api.DeregisterOptions{Purge: true}, nil)
	must(t, err)
	_, _, err = jobs.Info(id, nil)
	refused(t, err, "404 (job not found)")
}

func TestJobsAreListedFilteredAndPaged(t *testing.T) {
	client := connect(t)
	jobs := client.Jobs()
	for _, id := range []string{"list-a", "list-b", "list-c"} {
		job := service(id, "exec sleep 3600")
		job.Meta = map[string]string{"letter": id[5:]}
		register(t, client, job)
	}
	found, meta, err := jobs.PrefixList("list-")
	must(t, err)
	hold(t, len(found) == 3 && found[0].ID == "list-a" && meta.LastIndex > 0, "by prefix: %+v", found)
	found, _, err = jobs.List(&api.QueryOptions{Namespace: "*", Prefix: "list-"})
	must(t, err)
	hold(t, len(found) == 3, "in all namespaces: %+v", found)
	found, _, err = jobs.List(&api.QueryOptions{Namespace: "elsewhere"})
	must(t, err)
	hold(t, len(found) == 0, "elsewhere: %+v", found)
	found, _, err = jobs.ListOptions(&api.JobListOptions{Fields: &api.JobListFields{Meta: true}}, &api.QueryOptions{Prefix: "list-b"})
	must(t, err)
	hold(t, len(found) == 1 && found[0].Meta["letter"] == "b", "with meta: %+v", found)
	found, _, err = jobs.List(&api.QueryOptions{Filter: `Meta.letter == "c" and Type == "service"`})
	must(t, err)
	hold(t, len(found) == 1 && found[0].ID == "list-c", "filtered: %+v", found)
	_, _, err = jobs.List(&api.QueryOptions{Filter: "Type is bad"})
	refused(t, err, "400 (failed to create result paginator")
	_, _, err = jobs.List(&api.QueryOptions{Filter: `Nope == "x"`})
	refused(t, err, `couldn't find key: struct field with name "Nope"`)

	var ids []string
	page := &api.QueryOptions{Prefix: "list-", PerPage: 2}
	for {
		found, meta, err := jobs.List(page)
		must(t, err)
		for _, job := range found {
			ids = append(ids, job.ID)
		}
		if meta.NextToken == "" {
			break
		}
		page.NextToken = meta.NextToken
	}
	hold(t, strings.Join(ids, " ") == "list-a list-b list-c", "pages: %v", ids)
	_, _, err = jobs.List(&api.QueryOptions{Region: "mars"})
	refused(t, err, "500 (No path to region)")
}

func TestBlockingQueriesWaitAndWake(t *testing.T) {
	client := connect(t)
	jobs := client.Jobs()
	register(t, client, sleeper("blocked-on"))
	running(t, client, "blocked-on", 1)
	_, meta, err := jobs.Info("blocked-on", nil)
	must(t, err)
	begun := time.Now()
	_, past, err := jobs.Info("blocked-on", &api.QueryOptions{WaitIndex: 1, WaitTime: 30 * time.Second})
	must(t, err)
	hold(t, past.LastIndex >= meta.LastIndex && time.Since(begun) < 20*time.Second, "an index in the past waits")
	_, same, err := jobs.Summary("blocked-on", &api.QueryOptions{WaitIndex: meta.LastIndex + 1_000_000, WaitTime: 50 * time.Millisecond})
	must(t, err)
	hold(t, same.LastIndex > 0, "no index after the time was up")

	woken := make(chan uint64, 1)
	go func() {
		_, meta, err := jobs.Info("blocked-on", &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: deadline})
		if err != nil {
			meta = &api.QueryMeta{}
		}
		woken <- meta.LastIndex
	}()
	again := sleeper("blocked-on")
	again.Meta = map[string]string{"again": "yes"}
	_, _, err = jobs.Register(again, nil)
	must(t, err)
	index := <-woken
	hold(t, index > meta.LastIndex, "woken with %d, not beyond %d", index, meta.LastIndex)
}
