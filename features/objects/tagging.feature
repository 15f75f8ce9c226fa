@needs.object-tagging
Feature: Tagging objects

  Rule: An object keeps the tags that it was given last

    Scenario: Tags come back as they were given
      Given a bucket
      And "thing" holds "x"
      When I tag "thing"
        | team  | red         |
        | stage | raw + uncut |
      Then it succeeds
      And the tags of "thing" are
        | team  | red         |
        | stage | raw + uncut |

    Scenario: Tags can be given with the object
      Given a bucket
      When I put "thing" holding "x" with
        | tag team  | red       |
        | tag place | a b/c=d+e |
      Then the tags of "thing" are
        | team  | red       |
        | place | a b/c=d+e |

    Scenario: An object without tags has an empty set of them
      Given a bucket
      And "thing" holds "x"
      When I read the tags of "thing"
      Then it succeeds
      And there are no tags

    Scenario: New tags take the place of the old ones
      Given a bucket
      And "thing" holds "x" with
        | tag team | red |
      When I tag "thing"
        | stage | raw |
      Then the tags of "thing" are
        | stage | raw |

    Scenario: Tags can be taken off
      Given a bucket
      And "thing" holds "x" with
        | tag team | red |
      When I remove the tags of "thing"
      And I read the tags of "thing"
      Then there are no tags

    Scenario: Looking tells how many tags there are
      Given a bucket
      And "thing" holds "x" with
        | tag team  | red |
        | tag stage | raw |
      When I read "thing"
      Then its tag count is "2"

    Scenario: Tagging changes neither the bytes nor their description
      Given a bucket
      And "thing" holds "hello" with
        | metadata colour | green |
      And I note the etag of "thing" as before
      When I tag "thing"
        | team | red |
      And I read "thing"
      Then I get "hello"
      And its etag is "$before"
      And its metadata colour is "green"

  Rule: Tags are of objects that are there

    Scenario Outline: <deed> of a key that holds nothing
      Given a bucket
      When I <act>
      Then it is refused with NoSuchKey

      Examples:
        | deed             | act                               |
        | Reading the tags | read the tags of "nothing-here"   |
        | Taking tags off  | remove the tags of "nothing-here" |

    Scenario: Tagging a key that holds nothing
      Given a bucket
      When I tag "nothing-here"
        | team | red |
      Then it is refused with NoSuchKey

  Rule: A tag set has its limits

    Scenario: Ten tags are as many as an object takes
      Given a bucket
      And "thing" holds "x"
      When I tag "thing" with 10 tags
      Then it succeeds

    Scenario: Eleven are too many
      Given a bucket
      And "thing" holds "x" with
        | tag team | red |
      When I tag "thing" with 11 tags
      Then it is refused with InvalidTag or BadRequest
      And the tags of "thing" are
        | team | red |

    Scenario: Eleven are too many with the object as well
      Given a bucket
      When I put "thing" with 11 tags
      Then it is refused with InvalidTag or BadRequest
      And "thing" does not exist

    Scenario: Two tags cannot have the same key
      Given a bucket
      And "thing" holds "x"
      When I tag "thing"
        | team | red  |
        | team | blue |
      Then it is refused with InvalidTag
