"""What can change a result, decided from the code: digests of meaning, import closures and manifests."""
