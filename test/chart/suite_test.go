// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

// Package chart_test renders the chart with the real helm program and installs it into a real API server. It never starts the
// controller.
package chart_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

const (
	chartDir  = "../../charts/vpsie-autoscaler"
	namespace = "kube-system"
	release   = "vpsie-autoscaler"
	// image is the only value without a default: nobody has published one.
	image = "image.repository=registry.example.com/vpsie-autoscaler"
	// policyAPI is what a cluster with mutating admission policies tells helm that it has.
	policyAPI = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
)

func TestChart(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "chart")
}

// helm runs the helm program with the chart's release and returns what it prints.
func helm(command string, args ...string) (string, error) {
	GinkgoHelper()
	program := os.Getenv("HELM")
	if program == "" {
		program = filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "helm")
	}
	home := GinkgoT().TempDir()
	run := exec.Command(program, append([]string{command, release, chartDir, "--namespace", namespace, "--set", image}, args...)...)
	// Helm must not touch what the user who runs the tests keeps in its folders.
	run.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home, "KUBECACHEDIR="+home, "KUBECONFIG=/dev/null")
	var stdout, stderr bytes.Buffer
	run.Stdout, run.Stderr = &stdout, &stderr
	if err := run.Run(); err != nil {
		return "", fmt.Errorf("running %s %s (run `make control-plane` if it is not there): %w: %s", program, command, err, stderr.String())
	}
	return stdout.String(), nil
}

// dryRun returns the commands that make would run.
func dryRun(target string, variables ...string) string {
	GinkgoHelper()
	output, err := exec.Command("make", append([]string{"--dry-run", "--directory=../..", target}, variables...)...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(output))
	return string(output)
}

// template renders the chart with arguments of helm template.
func template(args ...string) ([]*unstructured.Unstructured, error) {
	GinkgoHelper()
	text, err := helm("template", args...)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewBufferString(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading what helm rendered: %w", err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// rendered renders the chart and fails the test if it cannot.
func rendered(args ...string) []*unstructured.Unstructured {
	GinkgoHelper()
	objects, err := template(args...)
	Expect(err).NotTo(HaveOccurred())
	return objects
}

// ofKind returns the objects of a kind.
func ofKind(kind string, objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	var found []*unstructured.Unstructured
	for _, object := range objects {
		if object.GetKind() == kind {
			found = append(found, object)
		}
	}
	return found
}

// names lists objects as Kind/name.
func names(objects []*unstructured.Unstructured) []string {
	list := make([]string, len(objects))
	for i, object := range objects {
		list[i] = object.GetKind() + "/" + object.GetName()
	}
	return list
}
