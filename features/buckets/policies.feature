@needs.policies
Feature: Storing bucket policies

  Rule: A policy is kept, and only if it says what can be meant

    Scenario: A policy comes back as it was given
      Given a bucket
      When I give the bucket the policy
        """
        {"Version": "2012-10-17", "Statement": [{"Sid": "Read", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::$bucket/*"}]}
        """
      Then it succeeds
      And the bucket's policy is
        """
        {"Version": "2012-10-17", "Statement": [{"Sid": "Read", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::$bucket/*"}]}
        """

    Scenario: A bucket that has no policy says so
      Given a bucket
      When I read the bucket's policy
      Then it is refused with NoSuchBucketPolicy

    Scenario: A policy can be taken off
      Given a bucket
      And a policy lets everybody do "s3:GetObject" on "the bucket/*"
      When I remove the bucket's policy
      And I read the bucket's policy
      Then it is refused with NoSuchBucketPolicy

    Scenario: Taking a policy off a bucket that has none is no fault
      Given a bucket
      When I remove the bucket's policy
      Then it succeeds

    Scenario: A bucket that was never made takes no policy
      Given there is no bucket
      When I give the bucket the policy
        """
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::$bucket/*"}]}
        """
      Then it is refused with NoSuchBucket

    Scenario Outline: A policy that <fault> is refused
      Given a bucket
      When I give the bucket the policy
        """
        <policy>
        """
      Then it is refused with MalformedPolicy

      Examples:
        | fault                            | policy                                                                                                                                                                          |
        | is not JSON                      | {"Version": "2012-10-17",                                                                                                                                                       |
        | is a list                        | []                                                                                                                                                                              |
        | has no statement                 | {"Version": "2012-10-17"}                                                                                                                                                       |
        | has an unknown version           | {"Version": "2020-01-01", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::$bucket/*"}}                                            |
        | has an unknown effect            | {"Version": "2012-10-17", "Statement": {"Effect": "Perhaps", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::$bucket/*"}}                                          |
        | has an unknown element           | {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::$bucket/*", "Except": "Sundays"}}                       |
        | names nobody                     | {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::$bucket/*"}}                                                              |
        | speaks of another service        | {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "ec2:*", "Resource": "arn:aws:s3:::$bucket/*"}}                                           |
        | speaks of another bucket         | {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::somebody-elses-bucket/*"}}                              |
        | has a condition nobody evaluates | {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::$bucket/*", "Condition": {"Moon": {"aws:Phase": "full"}}}} |
        | has a key that nobody evaluates  | {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::$bucket/*", "Condition": {"Bool": {"aws:Moon": "true"}}}} |
